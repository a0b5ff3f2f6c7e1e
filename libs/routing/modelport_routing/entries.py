"""What the near cache keeps, and how much of it."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

MAX_PRESENT = 200_000
MAX_ABSENT = 10_000
MAX_INDEXES = 10_000
MAX_EMPTY_INDEXES = 1_000


class Entry:
    """What is known of one key. Attributes are plain: this is read on every request."""

    __slots__ = ("compiled", "key", "payload", "present", "revision", "seq", "verified")

    def __init__(
        self, key: str, *, present: bool, revision: int, seq: int, payload: bytes | None, verified: bool
    ) -> None:
        self.key = key
        self.present = present
        self.revision = revision
        """Of the record in its source; 0 where nothing is known of a removed one."""
        self.seq = seq
        """The table's own number of the write."""
        self.payload = payload
        self.verified = verified
        """True while Redis would tell if it changed; False once it may have changed or Redis is away."""
        self.compiled: Any = None
        """Room for what a reader builds from the payload; it lives as long as the entry."""

    def __repr__(self) -> str:
        state = "present" if self.present else "absent"
        trust = "verified" if self.verified else "unverified"
        return f"<Entry {self.key} {state} revision={self.revision} seq={self.seq} {trust}>"


class IndexEntry:
    """What is known of one derived index."""

    __slots__ = ("fields", "name", "verified")

    def __init__(self, name: str, fields: dict[str, str], *, verified: bool = True) -> None:
        self.name = name
        self.fields = fields
        self.verified = verified


class Entries:
    """Entries by key: present ones up to a generous bound, absent ones (anyone can ask for those) in a small LRU."""

    def __init__(self, max_present: int = MAX_PRESENT, max_absent: int = MAX_ABSENT) -> None:
        self.present: dict[str, Entry] = {}
        """By key; open to the hot path."""
        self.changes = 0
        """How often a present entry came or went."""
        self._absent: OrderedDict[str, Entry] = OrderedDict()
        self._max_present = max_present
        self._max_absent = max_absent

    def __len__(self) -> int:
        return len(self.present) + len(self._absent)

    def find(self, key: str) -> Entry | None:
        """Return what is known of a key."""
        entry = self.present.get(key)
        if entry is None and (entry := self._absent.get(key)) is not None:
            self._absent.move_to_end(key)
        return entry

    def put(self, entry: Entry) -> None:
        """Keep an entry in place of a former one of its key."""
        self.drop(entry.key)
        if entry.present:
            self.changes += 1
            self.present[entry.key] = entry
            if len(self.present) > self._max_present:
                del self.present[next(iter(self.present))]
        else:
            self._absent[entry.key] = entry
            if len(self._absent) > self._max_absent:
                self._absent.popitem(last=False)

    def drop(self, key: str) -> None:
        """Forget a key."""
        if self.present.pop(key, None) is not None:
            self.changes += 1
        self._absent.pop(key, None)

    def doubt(self, key: str) -> None:
        """Take away the trust in one entry."""
        entry = self.present.get(key) or self._absent.get(key)
        if entry is not None:
            entry.verified = False

    def __iter__(self) -> Iterator[Entry]:
        yield from self.present.values()
        yield from self._absent.values()


class Indexes:
    """Indexes by name, bounded as entries are: an empty one is what anyone gets who asks for a model nobody has.

    The empty ones have a small LRU of their own, so that asking for many never pushes out one that is in use.
    """

    def __init__(self, max_filled: int = MAX_INDEXES, max_empty: int = MAX_EMPTY_INDEXES) -> None:
        self._filled: OrderedDict[str, IndexEntry] = OrderedDict()
        self._empty: OrderedDict[str, IndexEntry] = OrderedDict()
        self.changes = 0
        """How often a filled index came, went or was read anew."""
        self._max_filled = max_filled
        self._max_empty = max_empty

    def __len__(self) -> int:
        return len(self._filled) + len(self._empty)

    def find(self, name: str) -> IndexEntry | None:
        """Return what is known of an index."""
        entry = self._filled.get(name)
        if entry is None and (entry := self._empty.get(name)) is not None:
            self._empty.move_to_end(name)
        return entry

    def put(self, entry: IndexEntry) -> None:
        """Keep an index in place of a former state of it."""
        self.drop(entry.name)
        self.changes += bool(entry.fields)
        kept, limit = (self._filled, self._max_filled) if entry.fields else (self._empty, self._max_empty)
        kept[entry.name] = entry
        if len(kept) > limit:
            kept.popitem(last=False)

    def drop(self, name: str) -> None:
        """Forget an index."""
        self.changes += self._filled.pop(name, None) is not None
        self._empty.pop(name, None)

    def filled(self) -> list[IndexEntry]:
        """Return those that hold something."""
        return list(self._filled.values())

    def doubt(self, name: str) -> None:
        """Take away the trust in one index."""
        entry = self._filled.get(name) or self._empty.get(name)
        if entry is not None:
            entry.verified = False

    def __iter__(self) -> Iterator[IndexEntry]:
        yield from self._filled.values()
        yield from self._empty.values()

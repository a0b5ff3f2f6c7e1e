"""The near cache: what this process knows of the routing table, kept true by Redis itself.

docs/propagation.md, rules 13, 15 and 16. One connection carries both the reads and the pushes that say what
changed, so a value stored on arrival is doubted by every change that came after it was read. A doubted entry is
read again on use; when Redis cannot be reached it is served as it is.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from types import TracebackType
from typing import Any, Self

import hiredis

from modelport_contracts.records import SOURCES, Source
from modelport_routing import keys
from modelport_routing.connection import Connection, ConnectionLostError, RedisAddress, Reply
from modelport_routing.entries import MAX_ABSENT, MAX_PRESENT, Entries, Entry, IndexEntry, Indexes
from modelport_routing.errors import TableAwayError
from modelport_routing.keeping import keep_connected
from modelport_routing.lease import PATIENCE_S
from modelport_routing.rows import Row, Verdict, epoch_is_current, judge, parse_row, run_id_of

logger = logging.getLogger(__name__)

GRACE_S = 1.0
"""For so long after a loss, a look-up of something unknown waits for the next connection; of something known, for
lease.PATIENCE_S: it is served as it is then."""
_ATTEMPTS = 2
_RESULT = asyncio.Future["Entry | None"]
_INDEX_RESULT = asyncio.Future["IndexEntry | None"]
_AWAY = "Redis is away and this route is not known here; try again shortly"
_UNPROVEN = "the routing table is being rebuilt and this route is not known here; try again shortly"


class TableEvent(Enum):
    """What the near cache noticed. Listeners run inside the read callback and only set flags."""

    CONNECTED = "connected"
    LOST = "lost"
    HEAD_MOVED = "head_moved"
    TABLE_CHANGED = "table_changed"
    """Another epoch or mark, or everything was deleted: nothing is verified any more."""
    GAP = "gap"
    """There is no current epoch, or a source's mark does not stand: the table needs a rebuild."""


Listener = Callable[[TableEvent], None]


class NearCache:
    """One process's view of the routing table."""

    def __init__(
        self,
        url: str,
        *,
        literal: bool = False,
        max_present: int = MAX_PRESENT,
        max_absent: int = MAX_ABSENT,
        name: str = "modelport-near-cache",
    ) -> None:
        """`literal` reads Redis on every get; tests hold the cache against it."""
        self._address = RedisAddress.from_url(url)
        self._name = name
        self._literal = literal
        self._entries = Entries(max_present, max_absent)
        self._present = self._entries.present
        self._indexes = Indexes()
        self._reading: dict[str, _RESULT] = {}
        self._reading_indexes: dict[str, _INDEX_RESULT] = {}
        self._connection: Connection | None = None
        self._connected = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._run_id = ""
        self._lost_at = float("-inf")
        self._listeners: list[Listener] = []
        self.on_row_change: Callable[[str], None] | None = None
        """Called with the key of every row that Redis says has changed, inside the read callback; it must not raise."""
        self.epoch: str | None = None
        """The current epoch as last seen, None where there is none."""
        self.complete: frozenset[Source] = frozenset()
        """The sources whose marks stand, as last seen."""

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` on every event, the first one about the first connection if subscribed before start."""
        self._listeners.append(listener)

    @property
    def connected(self) -> bool:
        """Whether Redis can be asked now."""
        return self._connection is not None

    @property
    def connection(self) -> Connection | None:
        """The one connection, for what must travel in its order; None while there is none."""
        return self._connection

    @property
    def run_id(self) -> str:
        """Which run of the server the connection leads to, or led to."""
        return self._run_id

    @property
    def present_entries(self) -> int:
        """How many records are known here."""
        return len(self._entries.present)

    @property
    def absent_entries(self) -> int:
        """How many keys are known here to have no record."""
        return len(self._entries) - len(self._entries.present)

    @property
    def changes(self) -> int:
        """A number that moves whenever what `known` and `known_indexes` return has changed."""
        return self._entries.changes + self._indexes.changes

    def known(self) -> list[Entry]:
        """Return the records that are known to be there, verified or not."""
        return list(self._present.values())

    def known_indexes(self) -> list[IndexEntry]:
        """Return the filled indexes that are known, verified or not."""
        return self._indexes.filled()

    def adopt(self, entries: Iterable[Entry], indexes: Iterable[IndexEntry]) -> None:
        """Take over what another process knew, unverified; what is known here is left as it is."""
        for entry in entries:
            if self._entries.find(entry.key) is None:
                entry.verified = False
                self._entries.put(entry)
        for index in indexes:
            if self._indexes.find(index.name) is None:
                index.verified = False
                self._indexes.put(index)

    def forget_unverified(self, wanted: Iterable[str], indexes: Iterable[str]) -> None:
        """Forget those of these records and indexes that are not verified."""
        for key in wanted:
            if (entry := self._entries.find(key)) is not None and not entry.verified:
                self._entries.drop(key)
        for name in indexes:
            if (index := self._indexes.find(name)) is not None and not index.verified:
                self._indexes.drop(name)

    async def start(self) -> None:
        """Begin connecting; returns at once."""
        if self._keeping is None:
            self._lost_at = asyncio.get_running_loop().time()
            self._keeping = asyncio.create_task(
                keep_connected(self._address, self._connect, self._disconnected), name="near cache connection"
            )

    async def close(self) -> None:
        """Close the connection."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            self._keeping = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def wait_connected(self) -> None:
        """Return once Redis can be asked."""
        await self._connected.wait()

    def peek(self, key: str) -> Entry | None:
        """Return the entry of a key, present or absent, if it is verified; None means that `get` must be asked."""
        if self._literal:
            return None
        entry = self._present.get(key) or self._entries.find(key)
        return entry if entry is not None and entry.verified else None

    async def get(self, key: str, *, min_revision: int = 0) -> Entry:
        """Return what is known of a key, asking Redis where that is in doubt or older than `min_revision`.

        The entry is unverified where Redis is away or its table is being rebuilt. Raises TableAwayError where
        nothing is known then: absence is said only when it is proven. Takes about a second at the most.
        """
        entry = self.peek(key)
        if entry is not None and entry.revision >= min_revision:
            return entry
        fresh = self._literal or min_revision > 0
        return (await self._get([key], fresh=fresh))[key]

    async def get_many(self, wanted: Sequence[str]) -> dict[str, Entry]:
        """Do what `get` does for several keys, with one reading of Redis."""
        found = {key: entry for key in wanted if (entry := self.peek(key)) is not None}
        missing = [key for key in dict.fromkeys(wanted) if key not in found]
        if missing:
            found.update(await self._get(missing, fresh=self._literal))
        return found

    def peek_index(self, name: str) -> Mapping[str, str] | None:
        """Return a derived index if it is verified; None means that `index` must be asked."""
        if self._literal:
            return None
        entry = self._indexes.find(name)
        return entry.fields if entry is not None and entry.verified else None

    async def index(self, name: str, source: Source) -> Mapping[str, str]:
        """Return a derived index of a source's records, from Redis where it is in doubt.

        Raises TableAwayError where Redis is away or being rebuilt and nothing is known of the index.
        """
        fields = self.peek_index(name)
        if fields is not None:
            return fields
        known = self._indexes.find(name)
        why = _AWAY
        for _ in range(_ATTEMPTS):
            connection = await self._usable_connection(known is not None and bool(known.fields))
            if connection is None:
                break
            try:
                read = await asyncio.shield(self._read_index(connection, name, source))
                if read is not None:
                    return read.fields
                why = _UNPROVEN
                break
            except (ConnectionLostError, hiredis.ReplyError):
                why = _AWAY
        known = self._indexes.find(name)
        if known is None or not known.fields:
            raise TableAwayError(why)
        return known.fields

    # ------------------------------------------------------------------------------------------------- reading

    async def _get(self, wanted: list[str], *, fresh: bool) -> dict[str, Entry]:
        known = {key: self._entries.find(key) for key in wanted}
        all_known = all(entry is not None and entry.present for entry in known.values())
        results: dict[str, Entry | None] = {}
        why = _AWAY
        for _ in range(_ATTEMPTS):
            connection = await self._usable_connection(all_known)
            if connection is None:
                break
            why = _UNPROVEN
            try:
                for key, result in self._read(connection, wanted, fresh=fresh).items():
                    # Shielded: others may be waiting for the same reading.
                    results[key] = await asyncio.shield(result)
                break
            except (ConnectionLostError, hiredis.ReplyError):
                why = _AWAY
        found: dict[str, Entry] = {}
        for key in wanted:
            entry = results.get(key)
            if entry is None:
                entry = self._entries.find(key)
                if entry is None or not entry.present:
                    raise TableAwayError(why)
            found[key] = entry
        return found

    async def _usable_connection(self, something_is_known: bool) -> Connection | None:
        if self._connection is None:
            grace_s = PATIENCE_S if something_is_known else GRACE_S
            rest_s = self._lost_at + grace_s - asyncio.get_running_loop().time()
            if rest_s > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(rest_s):
                        await self._connected.wait()
        return self._connection

    def _read(self, connection: Connection, wanted: list[str], *, fresh: bool) -> dict[str, _RESULT]:
        """Ask for keys in one MGET with epoch and marks; join readings under way unless they must be fresh."""
        results = {} if fresh else {key: self._reading[key] for key in wanted if key in self._reading}
        asked = [key for key in wanted if key not in results]
        if not asked:
            return results
        loop = asyncio.get_running_loop()
        started: dict[str, _RESULT] = {key: loop.create_future() for key in asked}

        def on_reply(reply: Reply) -> None:
            for key, result in started.items():
                if self._reading.get(key) is result:
                    del self._reading[key]
            if isinstance(reply, Exception):
                for result in started.values():
                    result.set_exception(reply)
                    result.exception()  # nobody may be waiting any more
                return
            epoch, marks, rows = self._note_table(reply)
            for key, raw in zip(asked, rows, strict=True):
                mark = marks[keys.source_of(key)]
                started[key].set_result(self._store(key, epoch, mark, raw))

        rows = (keys.row(key) for key in asked)
        connection.send(on_reply, "MGET", keys.EPOCH, *keys.MARKS, *rows)
        self._reading.update(started)
        return results | started

    def _store(self, key: str, epoch: str | None, mark: str | None, raw: bytes | None) -> Entry | None:
        """Keep what was read; None where it proves nothing and is no better than what is known."""
        row = None if raw is None else parse_row(raw)
        if raw is not None and row is None:
            logger.warning("the row of %s cannot be read; it is taken as unknown", key)
            return None
        known = self._entries.find(key)
        verdict = judge(epoch, mark, row, self._run_id)
        if verdict is Verdict.ABSENT:
            return self._store_absent(key, row if row is not None and row.epoch == epoch else None)
        if verdict is Verdict.OVER:
            self._entries.drop(key)
        if row is None or not row.present:
            return None
        if verdict is Verdict.UNPROVEN and known is not None and known.seq > row.seq:
            return None
        verified = verdict is Verdict.PRESENT
        if known is not None and known.present and (known.revision, known.payload) == (row.revision, row.payload):
            known.seq, known.verified = row.seq, verified
            return known
        entry = Entry(key, present=True, revision=row.revision, seq=row.seq, payload=row.payload, verified=verified)
        self._entries.put(entry)
        return entry

    def _store_absent(self, key: str, tombstone: Row | None) -> Entry:
        revision, seq = (tombstone.revision, tombstone.seq) if tombstone is not None else (0, 0)
        entry = Entry(key, present=False, revision=revision, seq=seq, payload=None, verified=True)
        self._entries.put(entry)
        return entry

    def _read_index(self, connection: Connection, name: str, source: Source) -> _INDEX_RESULT:
        """Read an index with epoch and marks in one transaction; None where the reading proves nothing."""
        if not self._literal and name in self._reading_indexes:
            return self._reading_indexes[name]
        done: _INDEX_RESULT = asyncio.get_running_loop().create_future()

        def on_reply(reply: Reply) -> None:
            if self._reading_indexes.get(name) is done:
                del self._reading_indexes[name]
            if isinstance(reply, Exception) or isinstance(reply[1], Exception):
                done.set_exception(reply if isinstance(reply, Exception) else reply[1])
                done.exception()  # nobody may be waiting any more
                return
            table, fields = reply
            epoch, marks, _ = self._note_table(table)
            proven = epoch_is_current(epoch, self._run_id) and marks[source] == epoch
            done.set_result(self._store_index(name, fields) if proven else None)

        connection.send(_ignore, "MULTI")
        connection.send(_ignore, "MGET", keys.EPOCH, *keys.MARKS)
        connection.send(_ignore, "HGETALL", keys.index(name))
        connection.send(on_reply, "EXEC")
        self._reading_indexes[name] = done
        return done

    def _store_index(self, name: str, fields: Mapping[bytes, bytes]) -> IndexEntry:
        entry = IndexEntry(name, {_text(field): _text(value) for field, value in fields.items()})
        self._indexes.put(entry)
        return entry

    def _note_table(self, values: list[bytes | None]) -> tuple[str | None, dict[Source, str | None], list[Any]]:
        """Take epoch and marks off the front of a reading and remember them."""
        count = 1 + len(keys.MARKS)
        epoch, *listed = (None if value is None else _text(value) for value in values[:count])
        marks = dict(zip(SOURCES, listed, strict=True))
        current = epoch_is_current(epoch, self._run_id)
        self.epoch = epoch if current else None
        self.complete = frozenset(source for source, mark in marks.items() if current and mark == epoch)
        if len(self.complete) < len(SOURCES):
            self._tell(TableEvent.GAP)
        return epoch, marks, values[count:]

    # ---------------------------------------------------------------------------------------------- connection

    async def _connect(self) -> Connection:
        """Open the connection; it may be used once Redis tracks it and the server is known."""
        connection = await Connection.open(self._address, self._on_push, name=self._name)
        try:
            async with asyncio.timeout(GRACE_S):
                await connection.call("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", keys.PREFIX)
                self._run_id = run_id_of(await connection.call("INFO", "server"))
        except BaseException:
            connection.abort()
            raise
        self._connection = connection
        self._connected.set()
        self._tell(TableEvent.CONNECTED)
        self._look_at_table()
        return connection

    def _disconnected(self) -> None:
        self._connection = None
        self._connected.clear()
        self._lost_at = asyncio.get_running_loop().time()
        self._doubt_everything()
        self._tell(TableEvent.LOST)

    def _on_push(self, message: list[Any]) -> None:
        if message[0] != b"invalidate":
            return
        if message[1] is None:
            self._table_changed()
            return
        for name in map(_text, message[1]):
            if name.startswith(keys.ROW_PREFIX):
                key = name[len(keys.ROW_PREFIX) :]
                self._entries.doubt(key)
                if self.on_row_change is not None:
                    self.on_row_change(key)
            elif name == keys.HEAD:
                self._tell(TableEvent.HEAD_MOVED)
            elif name.startswith(keys.INDEX_PREFIX):
                self._indexes.doubt(name[len(keys.INDEX_PREFIX) :])
            elif name == keys.EPOCH or name.startswith(keys.COMPLETE_PREFIX):
                self._table_changed()

    def _table_changed(self) -> None:
        self._doubt_everything()
        self._tell(TableEvent.TABLE_CHANGED)
        self._look_at_table()

    def _look_at_table(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(ConnectionLostError):
                self._connection.send(self._on_table, "MGET", keys.EPOCH, *keys.MARKS)

    def _on_table(self, reply: Reply) -> None:
        if not isinstance(reply, Exception):
            self._note_table(reply)

    def _doubt_everything(self) -> None:
        for entry in self._entries:
            entry.verified = False
        for index in self._indexes:
            index.verified = False

    def _tell(self, event: TableEvent) -> None:
        for listener in self._listeners:
            listener(event)


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _ignore(_: Reply) -> None:
    """Take a reply that only had to come."""

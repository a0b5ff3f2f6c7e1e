"""Which gateways are live, and whether a change is applied by all of them (docs/propagation.md, rules 18 to 20).

Pure: what was read at one moment, an observer's memory of the beats it has seen, and the time it is told.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from modelport_contracts.records import Source
from modelport_routing import keys
from modelport_routing.rows import Row, epoch_is_current

LIVE_S = 3.0
"""A gateway whose beat was seen to change so long ago, or is seen for the first time, is live."""
SETTLE_S = 2.0
"""Records that were lost with Redis' memory say nothing until every gateway has written its own again, or its lease
has run out (LEASE_S, with room for clocks that run at different speeds)."""
KEPT_S = 600.0
"""A record without a beat for so long is swept away."""
GENERATION = "generation"
"""The field that names one life of the hash: it is drawn again when the hash was lost."""
SETTLED = "settled"
"""The field that repeats the generation once somebody has watched it for SETTLE_S."""
_OWN_FIELDS = frozenset({GENERATION.encode(), SETTLED.encode()})


@dataclass(frozen=True, slots=True)
class GatewayRecord:
    """What a gateway process says of itself: it has applied the epoch's changes up to `head`."""

    boot_id: str
    gateway_id: str
    beat: int
    epoch: str | None
    head: int

    def encode(self) -> str:
        """Encode as the value of the field `boot_id`; the beat makes every value another one."""
        return json.dumps({"id": self.gateway_id, "beat": self.beat, "epoch": self.epoch, "head": self.head})

    @classmethod
    def parse(cls, boot_id: str, raw: bytes) -> "GatewayRecord":
        """Decode a record. One that cannot be read stands for a gateway that has applied nothing."""
        try:
            found = json.loads(raw)
            epoch = found["epoch"]
            return cls(
                boot_id, str(found["id"]), int(found["beat"]), None if epoch is None else str(epoch), int(found["head"])
            )
        except (ValueError, TypeError, KeyError):
            return cls(boot_id, boot_id, 0, None, -1)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one transaction read: the table's own data, the rows asked for, and the gateways' records."""

    run_id: str
    epoch: str | None
    head: int
    marks: Mapping[Source, str | None]
    floors: Mapping[Source, str | None]
    """As stored: `<epoch> <revision>`."""
    rows: Mapping[str, Row | None]
    roster: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Fleet:
    """The gateways as an observer sees them now."""

    live: tuple[GatewayRecord, ...]
    gone: tuple[GatewayRecord, ...]
    """They left no word: killed, halted or cut off."""
    is_settled: bool
    """Whether the records are known to be all there are."""
    settles: str | None
    """The generation that this observer has watched for long enough, if nobody has said so yet."""
    swept: tuple[tuple[bytes, bytes], ...]
    """Fields, with their values, that are to be removed if they still have them."""


class Observer:
    """Remembers when it saw each beat change. Its times are those of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._seen: dict[bytes, tuple[bytes, float]] = {}
        self._generation: tuple[bytes, float] | None = None

    def look(self, roster: Mapping[bytes, bytes], now: float) -> Fleet:
        """Take in what was read and say who is live."""
        live: list[GatewayRecord] = []
        gone: list[GatewayRecord] = []
        swept: list[tuple[bytes, bytes]] = []
        seen: dict[bytes, tuple[bytes, float]] = {}
        for field, value in sorted(roster.items()):
            if field in _OWN_FIELDS:
                continue
            former = self._seen.get(field)
            changed_at = former[1] if former is not None and former[0] == value else now
            seen[field] = (value, changed_at)
            record = GatewayRecord.parse(field.decode(errors="replace"), value)
            (live if now - changed_at <= LIVE_S else gone).append(record)
            if now - changed_at > KEPT_S:
                swept.append((field, value))
        self._seen = seen
        is_settled, settles = self._look_at_generation(roster, now)
        return Fleet(tuple(live), tuple(gone), is_settled, settles, tuple(swept))

    def _look_at_generation(self, roster: Mapping[bytes, bytes], now: float) -> tuple[bool, str | None]:
        generation = roster.get(GENERATION.encode())
        if generation is None:
            self._generation = None
            return False, None
        if self._generation is None or self._generation[0] != generation:
            self._generation = (generation, now)
        if roster.get(SETTLED.encode()) == generation:
            return True, None
        is_settled = now - self._generation[1] >= SETTLE_S
        return is_settled, generation.decode(errors="replace") if is_settled else None


@dataclass(frozen=True, slots=True)
class Standing:
    """A record as the table proves it, at the asked revision or a later one."""

    state: Literal["present", "absent"]
    epoch: str
    revision: int
    seq: int
    """Whoever has applied the table up to here has seen it."""
    payload: bytes | None


def find_standing(reading: Reading, key: str, revision: int) -> Standing | None:
    """Say how a record stands, None where the table does not prove that it is at `revision` or later (rule 19).

    Absence without a tombstone counts under the source's mark and a floor that has reached the revision.
    """
    epoch, source = reading.epoch, keys.source_of(key)
    if epoch is None or not epoch_is_current(epoch, reading.run_id):
        return None
    row = reading.rows[key]
    if row is not None and row.epoch == epoch:
        if row.revision < revision:
            return None
        state: Literal["present", "absent"] = "present" if row.present else "absent"
        return Standing(state, epoch, row.revision, row.seq, row.payload if row.present else None)
    floor_epoch, _, floor = (reading.floors[source] or "").partition(" ")
    if reading.marks[source] != epoch or floor_epoch != epoch or int(floor) < revision:
        return None
    return Standing("absent", epoch, int(floor), reading.head, None)


def lacking(fleet: Fleet, own_boot_id: str, epoch: str, seq: int) -> tuple[str, ...]:
    """Name the gateways for which it cannot be said that they have applied `seq`; empty: all live ones have.

    The answering process' own record must be there: no records at all prove nothing.
    """
    behind = [one.gateway_id for one in fleet.live if one.epoch != epoch or one.head < seq]
    if not fleet.is_settled or all(one.boot_id != own_boot_id for one in fleet.live):
        behind.append("gateways that have yet to report")
    return tuple(behind)


class Progress:
    """One question whether a record is applied, asked of one reading after the other.

    A state that was proven at one `seq` needs no later one while it lasts: else a table that is written all the time
    would always be ahead of whoever acknowledges it.
    """

    def __init__(self, key: str, revision: int) -> None:
        self.key = key
        self._revision = revision
        self.standing: Standing | None = None
        """As last proven."""
        self._since: Standing | None = None
        self.lacking: tuple[str, ...] = ()

    def look(self, reading: Reading, fleet: Fleet, own_boot_id: str) -> bool:
        """Say whether it is applied by all live gateways."""
        now = find_standing(reading, self.key, self._revision)
        before = self._since
        if now is None or before is None or (now.state, now.epoch) != (before.state, before.epoch):
            self._since = now
        self.standing = now
        if now is None or self._since is None:
            self.lacking = ()
            return False
        self.lacking = lacking(fleet, own_boot_id, now.epoch, self._since.seq)
        return not self.lacking

"""The last-known-good snapshot: what this gateway knows, kept in a file for a start without Redis.

docs/propagation.md, Last known good. Written only from what is verified while the table is trusted; what was loaded
is unverified until Redis has said more of it, and is gone when it is too old.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable

import structlog

from modelport_contracts.records import SOURCES
from modelport_gateway.errors import GatewayError
from modelport_gateway.prepare.secrets import SecretValue, SecretValues, marker_version
from modelport_gateway.sync.snapshot_file import Snapshot, SnapshotFile, SnapshotRefusedError
from modelport_routing import Entry, Lease, NearCache, TableAwayError, TableEvent
from modelport_routing.entries import IndexEntry

logger = structlog.get_logger(__name__)

LOAD_AFTER_S = 1.5
"""Redis has so long to answer before the file is loaded."""
TURN_EVERY_S = 0.5
CHANGED_EVERY_S = 3.0
"""How soon after the last time what came or was changed is written; what is over is written at once."""
REWRITTEN_EVERY_S = 60.0
"""So old is a file, at the most, whose gateway follows the table."""
COALESCE_S = 0.02
_AT_ONCE = 256
_COLLECT_AT_ONCE = 2000
_OVERTAKEN = 3
_SHARE = 20
"""Writing takes at most one part in so many of the time, save for what is over."""


class SnapshotKeeper:
    """Loads the file when it is needed, and keeps it true. `on_serving` is told when requests are served from it,
    and when no longer.

    `clock` is monotonic, `wall` in Unix seconds.
    """

    def __init__(
        self,
        file: SnapshotFile,
        table: NearCache,
        secrets: SecretValues,
        lease: Lease,
        *,
        max_age_s: float,
        on_serving: Callable[[bool], None],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._file = file
        self._table = table
        self._secrets = secrets
        self._lease = lease
        self._max_age_s = max_age_s
        self._on_serving = on_serving
        self._clock = clock
        self._wall = wall
        self._woken = asyncio.Event()
        self._began_at = clock()
        self._has_read_file = False
        self._loaded: Snapshot | None = None
        self._as_of = float("-inf")
        """Monotonic: when what the file says was true."""
        self._in_file: set[str] = set()
        self._to_read: set[str] = set()
        """Of these, what changed since."""
        self._is_over = False
        """Something in the file is over: it must be written anew before anything else."""
        self._written_changes = -1
        self._next_write_at = float("-inf")
        self._overtaken = 0
        """How many writes in a row a change has made void."""
        self.is_serving = False
        """Requests are served from what was loaded."""
        self.written = 0
        self.failed = 0
        table.on_row_change = self._on_row_change
        table.subscribe(self._on_table_event)

    def age_s(self) -> float | None:
        """Return how old the file's content is; None where there is no file of this gateway's."""
        return None if self._as_of == float("-inf") else max(0.0, self._clock() - self._as_of)

    def note(self) -> str:
        """Say what /status tells of it; empty while the table is followed."""
        return f"serves from a snapshot that is {self.age_s() or 0.0:.0f} s old" if self.is_serving else ""

    async def run(self, turned: Callable[[], None] = lambda: None) -> None:
        """Load, replace and write for ever; `turned` is called after each turn."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TURN_EVERY_S):
                    await self._woken.wait()
                    await asyncio.sleep(COALESCE_S)
            self._woken.clear()
            with contextlib.suppress(TableAwayError):
                await self.turn()
            turned()

    async def turn(self) -> None:
        """Do what is due once. Raises TableAwayError where Redis leaves meanwhile."""
        if self._is_trusted():
            if not self._has_read_file:
                # Not to serve from it: what was in use before is read from the table, and so stays in the file.
                await self._load()
            if self._loaded is not None:
                await self._replace(self._loaded)
            await self._keep()
        elif not self._has_read_file:
            if self._table.connected:
                self._began_at = self._clock()
            elif self._clock() - self._began_at >= LOAD_AFTER_S:
                await self._load()
        if self._loaded is not None and not self._is_trusted():
            self._serve_or_drop(self._loaded)

    def _is_trusted(self) -> bool:
        table = self._table
        return table.connected and len(table.complete) == len(SOURCES) and self._lease.holds()

    # ------------------------------------------------------------------------------------------------- loading

    async def _load(self) -> None:
        self._has_read_file = True
        path = str(self._file.path)
        try:
            snapshot = await asyncio.to_thread(self._file.read, self._wall(), self._max_age_s)
        except SnapshotRefusedError as error:
            logger.error(f"the snapshot is refused: {path} {error}")
            return
        if snapshot is None:
            logger.info("there is no snapshot yet", path=path)
            return
        self._as_of = self._clock() - max(0.0, self._wall() - snapshot.written_at)
        self._loaded = snapshot
        self._table.adopt(snapshot.records, snapshot.indexes)
        self._secrets.adopt(snapshot.secrets)

    def _serve_or_drop(self, loaded: Snapshot) -> None:
        age_s = self._clock() - self._as_of
        if age_s > self._max_age_s:
            self._table.forget_unverified([entry.key for entry in loaded.records], [one.name for one in loaded.indexes])
            self._secrets.forget(loaded.secrets)
            self._loaded, self.is_serving = None, False
            logger.error("the snapshot is too old by now, what it says is no longer served", age_s=round(age_s))
            self._on_serving(False)
        elif not self.is_serving:
            self.is_serving = True
            logger.warning(
                "Redis is away: serving from the snapshot until the routing table is back",
                age_s=round(age_s),
                records=len(loaded.records),
                secrets=len(loaded.secrets),
            )
            self._on_serving(True)

    async def _replace(self, loaded: Snapshot) -> None:
        """Read again what was loaded: from here on it is what the table says."""
        await self._read_again([entry.key for entry in loaded.records])
        for index in loaded.indexes:
            await self._table.index(index.name, "models")
        if not self._is_trusted():
            return
        await self._secrets.sweep()
        self._loaded = None
        self._is_over = True  # whatever the file says
        if self.is_serving:
            self.is_serving = False
            logger.warning("the routing table is back: the snapshot is no longer served from")
            self._on_serving(False)

    # ------------------------------------------------------------------------------------------------- writing

    async def _keep(self) -> None:
        changed, self._to_read = self._to_read, set()
        try:
            await self._read_again(changed)
        except BaseException:
            self._to_read |= changed
            raise
        now, changes = self._clock(), self._changes()
        is_due = self._is_over or changes != self._written_changes or now - self._as_of >= REWRITTEN_EVERY_S
        if is_due and (self._is_over or now >= self._next_write_at):
            await self._write()

    async def _write(self) -> None:
        began, as_of, changes = self._clock(), self._wall(), self._changes()
        await self._read_again([entry.key for entry in self._table.known() if not entry.verified])
        for index in self._table.known_indexes():
            if not index.verified:
                await self._table.index(index.name, "models")
        snapshot = Snapshot(as_of, self._table.epoch)
        over, self._is_over = self._is_over, False  # whatever ends from here on says so again
        watched = set(self._in_file)
        self._in_file = watched
        try:
            await self._collect(snapshot, watched)
            if not self._is_trusted():
                raise TableAwayError("the table is not trusted any more")
            if not await asyncio.to_thread(self._file.write, snapshot, self._is_true):
                self._is_over |= over
                self._overtaken += 1
                return
        except OSError as error:
            await self._give_up(error, over or self._is_over)
            return
        except BaseException:
            self._is_over = True
            raise
        self._in_file = {entry.key for entry in snapshot.records}
        self._as_of, self._written_changes = began, changes
        self._next_write_at = self._clock() + max(CHANGED_EVERY_S, _SHARE * (self._clock() - began))
        self._overtaken = 0
        self.written += 1

    def _is_true(self) -> bool:
        """Say whether nothing has changed since it was collected; asked by the file's thread.

        After a few changes that came meanwhile it is written all the same: better than what stands, and not the last.
        """
        return not self._to_read or self._overtaken >= _OVERTAKEN

    async def _collect(self, snapshot: Snapshot, watched: set[str]) -> None:
        """Take what is verified, in parts: requests are served meanwhile.

        What changes once it was looked at is in `watched`, and makes the file be written anew.
        """
        known = self._table.known()
        for start in range(0, len(known), _COLLECT_AT_ONCE):
            for entry in known[start : start + _COLLECT_AT_ONCE]:
                watched.add(entry.key)
                if self._table.peek(entry.key) is entry:
                    snapshot.records.append(_copied(entry))
            await asyncio.sleep(0)
        snapshot.indexes += [
            IndexEntry(one.name, dict(one.fields)) for one in self._table.known_indexes() if one.verified
        ]
        snapshot.secrets = await self._values_in_use()

    async def _values_in_use(self) -> dict[str, SecretValue]:
        """Return the values that their markers allow; one that was rotated is fetched, or left out."""
        for key, value in self._secrets.values().items():
            marker = self._table.peek(key)
            if marker is not None and marker.present and marker_version(marker) != value.version:
                _, workspace, name = key.split("/", 2)
                with contextlib.suppress(GatewayError, TimeoutError):
                    async with asyncio.timeout(1.0):
                        await self._secrets.get(workspace, name)
        return {key: value for key, value in self._secrets.values().items() if self._allows(key, value)}

    def _allows(self, key: str, value: SecretValue) -> bool:
        marker = self._table.peek(key)
        return marker is not None and marker.present and marker_version(marker) == value.version

    async def _read_again(self, wanted: Iterable[str]) -> None:
        """Ask Redis for what is in doubt, and notice what is over: a removed record, another version of a secret."""
        listed = list(wanted)
        for start in range(0, len(listed), _AT_ONCE):
            part = listed[start : start + _AT_ONCE]
            found = await self._table.get_many(part)
            for key in part:
                if key in self._in_file and (not found[key].present or key.startswith("secret/")):
                    self._is_over = True

    async def _give_up(self, error: OSError, over: bool) -> None:
        """Say that the file could not be written. Where something in the one that stands is over: better none."""
        self.failed += 1
        self._next_write_at = self._clock() + CHANGED_EVERY_S
        logger.error("the snapshot cannot be written", path=str(self._file.path), reason=error.strerror)
        if not over:
            return
        try:
            await asyncio.to_thread(self._file.remove)
        except OSError as problem:
            self._is_over = True
            logger.error("nor can the former one be removed, which is over: remove it", reason=problem.strerror)
            await asyncio.sleep(CHANGED_EVERY_S)
        else:
            self._in_file, self._as_of, self._written_changes = set(), float("-inf"), -1

    def _changes(self) -> int:
        return self._table.changes + self._secrets.changes

    def _on_row_change(self, key: str) -> None:
        if key in self._in_file:
            self._to_read.add(key)
            self._woken.set()

    def _on_table_event(self, event: TableEvent) -> None:
        if event in {TableEvent.CONNECTED, TableEvent.LOST, TableEvent.TABLE_CHANGED}:
            self._to_read |= self._in_file


def _copied(entry: Entry) -> Entry:
    """Return what the file's thread may read while the near cache goes on."""
    return Entry(entry.key, present=True, revision=entry.revision, seq=entry.seq, payload=entry.payload, verified=False)

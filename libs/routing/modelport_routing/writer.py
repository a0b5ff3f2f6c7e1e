"""Writing the routing table: guarded, idempotent, in any order (docs/propagation.md, rules 11 to 14)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, RedisError

from modelport_contracts.records import SOURCES, Change, Source
from modelport_routing import keys, scripts
from modelport_routing.errors import TableAwayError
from modelport_routing.rows import epoch_is_current, index_line

TIMEOUT_S = 1.0
_FIRST_RETRY_S = 0.05
_MAX_RETRY_S = 0.5
_SCAN_COUNT = 1000
_SWEEP_COUNT = 500
_AT_ONCE = 50
"""Rows of a snapshot that one script writes: it holds up all other commands for about a millisecond."""


class Outcome(StrEnum):
    """What a guarded write came to. All but a raised error are final: the change needs no repetition."""

    APPLIED = "applied"
    OLD = "old"
    """The table has this revision or a later one."""
    BELOW_FLOOR = "below_floor"
    """A reconciliation at a later revision has already said what there is."""
    NO_EPOCH = "no_epoch"
    """There is no table, or no longer the one meant. A rebuild that begins later holds the change."""
    NOT_OPEN = "not_open"
    """The source's rebuild has not begun. It will hold the change."""
    OTHER_INCARNATION = "other_incarnation"
    """The change comes from another database than the table's rows; who is right is for the source to say."""


@dataclass(frozen=True)
class TableState:
    """The table's own data, read at one moment."""

    run_id: str
    stored_epoch: str | None
    """As it stands in Redis, whoever began it."""
    marks: Mapping[Source, str | None]
    floors: Mapping[Source, int | None]
    """Revisions, of the current epoch only."""
    incarnations: Mapping[Source, str | None]
    """Of the current epoch only."""
    seen: Mapping[Source, tuple[str, int] | None]
    """The newest incarnation and revision that were written, in whichever epoch."""

    @property
    def epoch(self) -> str | None:
        """The current epoch, or None where there is none that this server began."""
        return self.stored_epoch if epoch_is_current(self.stored_epoch, self.run_id) else None

    def is_complete(self, source: Source) -> bool:
        """Say whether all records of a source are known to be in the table."""
        return self.epoch is not None and self.marks[source] == self.epoch


class RouteWriter:
    """Writes the table. Every method raises TableAwayError where Redis is away."""

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """`url` is redis://user:password@host:port/db."""
        # No socket_timeout: redis-py would send under asyncio.wait_for, which swallows a cancellation before
        # Python 3.12. Every call has its own limit instead.
        self._redis = Redis.from_url(
            url,
            protocol=2,
            socket_timeout=None,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            client_name="modelport-route-writer",
        )
        self._timeout_s = timeout_s
        self._scripts = scripts.ScriptRunner(self._redis, timeout_s)
        self._away = False

    async def close(self) -> None:
        """Close the connections."""
        await self._scripts.close()
        await self._redis.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def apply(self, change: Change, *, epoch: str = "") -> Outcome:
        """Apply a live change; with `epoch`, only within that one."""
        return await self._write(change, epoch)

    async def apply_snapshot(self, changes: Sequence[Change], *, epoch: str, snapshot_revision: int) -> list[Outcome]:
        """Apply records of a snapshot of one source; what is absent is judged by the snapshot's revision.

        Returns what each came to, or what ended the attempt.
        """
        outcomes: list[Outcome] = []
        # one after the other: readers and fences get their turn in between
        for start in range(0, len(changes), _AT_ONCE):
            outcomes += await self._write_snapshot(changes[start : start + _AT_ONCE], epoch, snapshot_revision)
        return outcomes

    async def state(self) -> TableState:
        """Read the table's own data."""
        names = [keys.EPOCH]
        for source in SOURCES:
            names += [keys.complete(source), keys.floor(source), keys.incarnation(source), keys.seen(source)]
        async with self._asking(), self._redis.pipeline(transaction=True) as pipeline:
            pipeline.execute_command("INFO", "server")
            pipeline.mget(names)
            server, values = await pipeline.execute()
        epoch, *rest = [None if value is None else value.decode() for value in values]
        run_id = server["run_id"]
        current = epoch if epoch_is_current(epoch, run_id) else None
        by_source = {source: rest[4 * at : 4 * at + 4] for at, source in enumerate(SOURCES)}
        floors = {source: _of_epoch(found[1], current) for source, found in by_source.items()}
        return TableState(
            run_id=run_id,
            stored_epoch=epoch,
            marks={source: found[0] for source, found in by_source.items()},
            floors={source: None if text is None else int(text) for source, text in floors.items()},
            incarnations={source: _of_epoch(found[2], current) for source, found in by_source.items()},
            seen={source: _position(found[3]) for source, found in by_source.items()},
        )

    async def begin_epoch(self, seen: str | None, random_part: str) -> str:
        """Begin a new epoch if the stored one is still `seen`; return the one that stands then."""
        reply = await self._run(scripts.BEGIN_EPOCH, (keys.EPOCH,), (seen or "", random_part))
        return str(reply.decode())

    async def open_source(self, epoch: str, source: Source, incarnation: str, revision: int) -> Outcome:
        """Let a source's live writes count in an epoch. A snapshot for it must be begun after this."""
        return await self._outcome(
            scripts.OPEN_SOURCE,
            (keys.EPOCH, keys.incarnation(source), keys.floor(source), keys.seen(source)),
            (epoch, incarnation, revision),
        )

    async def remove_missing(
        self, key: str, *, epoch: str, source: Source, incarnation: str, snapshot_revision: int
    ) -> Outcome:
        """Remove a record that a snapshot which ended without error did not name."""
        return await self._outcome(
            scripts.REMOVE_MISSING,
            (keys.EPOCH, keys.HEAD, keys.incarnation(source), keys.tombstones(source), keys.row(key)),
            (epoch, source, incarnation, snapshot_revision),
        )

    async def finish(self, epoch: str, source: Source, incarnation: str, revision: int, *, complete: bool) -> Outcome:
        """End a reconciliation: raise the floor and, after a full one (`complete`), set the source's mark.

        Tombstones that the floor now makes needless go.
        """
        outcome = await self._outcome(
            scripts.FINISH,
            (keys.EPOCH, keys.incarnation(source), keys.floor(source), keys.complete(source), keys.seen(source)),
            (epoch, incarnation, revision, "complete" if complete else ""),
        )
        if outcome is Outcome.APPLIED:
            names = (keys.EPOCH, keys.floor(source), keys.tombstones(source))
            while await self._run(scripts.SWEEP, names, (epoch, _SWEEP_COUNT)) == _SWEEP_COUNT:
                pass
        return outcome

    async def keys_of(self, source: Source) -> AsyncIterator[str]:
        """Yield the keys of a source's rows, tombstones included; some perhaps twice."""
        cursor = 0
        while True:
            async with self._asking():
                cursor, names = await self._redis.scan(cursor, match=f"{keys.ROW_PREFIX}*", count=_SCAN_COUNT)
            for name in names:
                assert isinstance(name, bytes)
                key = name.decode(errors="replace").removeprefix(keys.ROW_PREFIX)
                if _owner(key) == source:
                    yield key
            if cursor == 0:
                return

    async def try_lock(self, name: str, ttl_s: float) -> bool:
        """Take a lock for a while; False where another has it. It saves work, nothing rests on it."""
        async with self._asking():
            return bool(await self._redis.set(keys.lock(name), "1", nx=True, px=int(ttl_s * 1000)))

    async def extend_lock(self, name: str, ttl_s: float) -> None:
        """Keep a lock for longer."""
        async with self._asking():
            await self._redis.set(keys.lock(name), "1", px=int(ttl_s * 1000))

    async def unlock(self, name: str) -> None:
        """Give a lock back early."""
        async with self._asking():
            await self._redis.delete(keys.lock(name))

    async def wait_available(self) -> None:
        """Return when Redis answers; at once unless the last call failed. The gate of the consumer (rule 8)."""
        retry_s = _FIRST_RETRY_S
        while self._away:
            try:
                async with self._asking():
                    await self._redis.ping()
                self._away = False
            except TableAwayError:
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, _MAX_RETRY_S)

    async def check_server(self) -> list[str]:
        """Say what is wrong with the server's settings; empty when all is well.

        The table must be rebuildable but never half there: an old dump would be loaded before the truth is, and
        eviction would take single rows out of a complete table (ARCHITECTURE.md, The processes).
        """
        async with self._asking():
            try:
                settings = await self._redis.config_get("save", "appendonly", "maxmemory-policy")
            except NoPermissionError:
                return ["this user may not read the settings: allow it CONFIG GET, or check them by hand"]
        problems = []
        if settings.get("save"):
            problems.append('snapshots are on: set save ""')
        if settings.get("appendonly") == "yes":
            problems.append("the append-only file is on: set appendonly no")
        if settings.get("maxmemory-policy") != "noeviction":
            problems.append(f"maxmemory-policy is {settings.get('maxmemory-policy')}: set noeviction")
        return problems

    async def _write_snapshot(self, changes: Sequence[Change], epoch: str, snapshot_revision: int) -> list[Outcome]:
        first = changes[0].envelope
        source = first.source
        names = (
            keys.EPOCH,
            keys.HEAD,
            keys.incarnation(source),
            keys.floor(source),
            keys.tombstones(source),
            keys.seen(source),
            *(keys.row(change.envelope.key) for change in changes),
        )
        args: list[str | bytes | int] = [source, first.incarnation, epoch, snapshot_revision]
        for change in changes:
            args += (change.envelope.revision, index_line(change.envelope.index), change.payload)
        reply = await self._run(scripts.WRITE_SNAPSHOT, names, tuple(args))
        return [Outcome(one.decode()) for one in (reply if isinstance(reply, list) else [reply])]

    async def _write(self, change: Change, epoch: str) -> Outcome:
        envelope = change.envelope
        source = envelope.source
        names = (
            keys.EPOCH,
            keys.HEAD,
            keys.incarnation(source),
            keys.floor(source),
            keys.tombstones(source),
            keys.row(envelope.key),
            keys.seen(source),
        )
        put = envelope.operation == "put"
        args = (
            source,
            envelope.incarnation,
            envelope.revision,
            envelope.operation,
            index_line(envelope.index if put else ()),
            change.payload if put else b"",
            epoch,
        )
        return await self._outcome(scripts.WRITE, names, args)

    async def _outcome(
        self, script: scripts.Script, names: tuple[str, ...], args: tuple[str | bytes | int, ...]
    ) -> Outcome:
        return Outcome((await self._run(script, names, args)).decode())

    async def _run(self, script: scripts.Script, names: tuple[str, ...], args: tuple[str | bytes | int, ...]) -> Any:
        try:
            return await self._scripts.run(script, names, args)
        except TableAwayError:
            self._away = True
            raise

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except (RedisError, OSError) as error:
            self._away = True
            raise TableAwayError(f"Redis is away: {type(error).__name__}: {error}") from error


def _of_epoch(text: str | None, epoch: str | None) -> str | None:
    if text is None or epoch is None:
        return None
    its_epoch, _, value = text.partition(" ")
    return value if its_epoch == epoch else None


def _position(text: str | None) -> tuple[str, int] | None:
    incarnation, _, revision = (text or "").partition(" ")
    return (incarnation, int(revision)) if revision.isdecimal() else None


def _owner(key: str) -> Source | None:
    try:
        return keys.source_of(key)
    except KeyError:
        return None

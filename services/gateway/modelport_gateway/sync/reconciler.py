"""Keeping one source's part of the table whole (docs/propagation.md, rule 14).

Nothing rests on locks here: they keep several gateways from doing the same work. Two that reconcile at once come
to the same table, because every write is guarded.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from modelport_contracts.records import Change, Source
from modelport_gateway.sync.decisions import (
    CATCH_UP_EVERY_S,
    COMPARE_EVERY_S,
    LOOK_EVERY_S,
    Step,
    ends_the_attempt,
    next_step,
    retry_delay_s,
    seen_of,
    spread_s,
)
from modelport_gateway.sync.sources import SourceAwayError, SourceClient
from modelport_routing import Outcome, RouteWriter, TableAwayError, TableState

logger = structlog.get_logger(__name__)

REBUILD_LOCK_S = 5.0
"""A rebuild that says nothing for so long is taken over by another gateway."""
OTHER_AT_WORK_S = 0.2
_REMOVE_AT_ONCE = 500


class StartOverError(Exception):
    """The table is no longer the one this attempt was for."""


@dataclass
class ReconcileCounts:
    """What this process has done for a source, for metrics."""

    epochs: int = 0
    rebuilds: int = 0
    comparisons: int = 0
    catch_ups: int = 0
    repaired: int = 0
    """Records that a comparison or catch-up had to write into a complete table."""
    removed: int = 0
    failures: int = 0


class Reconciler:
    """Keeps one source's records in the table."""

    def __init__(self, client: SourceClient, writer: RouteWriter, *, jitter: Callable[[], float]) -> None:
        """`jitter` returns numbers between 0 and 1."""
        self._client = client
        self._writer = writer
        self._jitter = jitter
        self._woken = asyncio.Event()
        self._doubts_incarnation = False
        self.counts = ReconcileCounts()

    @property
    def source(self) -> Source:
        """The source this one is for."""
        return self._client.source

    def wake(self) -> None:
        """Look at the table now: something seems to be missing."""
        self._woken.set()

    def doubt_incarnation(self) -> None:
        """Ask the source which database it has: a change came from another one than the table's rows."""
        self._doubts_incarnation = True
        self._woken.set()

    async def run(self, turned: Callable[[], None] = lambda: None) -> None:
        """Look, act, wait; for ever. An absent source or Redis only delays. `turned` is called after what succeeded."""
        failures = 0
        while True:
            self._woken.clear()
            try:
                pause_s = await self.turn()
                failures = 0
                turned()
            except (SourceAwayError, TableAwayError, StartOverError) as error:
                failures += 1
                self.counts.failures += 1
                if failures in {1, 10} or failures % 100 == 0:
                    logger.warning("reconciliation failed, trying again", source=self.source, reason=str(error))
                # Not to be woken from: the gap that calls is the one that could not be closed.
                await asyncio.sleep(retry_delay_s(failures, self._jitter()))
                await self._writer.wait_available()
                continue
            if pause_s > 0:
                await asyncio.sleep(pause_s)
                continue
            # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(spread_s(LOOK_EVERY_S, self._jitter())):
                    await self._woken.wait()

    async def turn(self) -> float:
        """Do what is due once; return for how long not to look again, 0 for until woken.

        Raises SourceAwayError, TableAwayError and StartOverError.
        """
        doubts, self._doubts_incarnation = self._doubts_incarnation, False
        state = await self._writer.state()
        confirmed = (await self._client.head(seen_of(state, self.source))).incarnation if doubts else None
        step = next_step(state, self.source, confirmed)
        if step is Step.BEGIN_EPOCH:
            await self._begin_epoch(state)
            state = await self._writer.state()
            step = next_step(state, self.source, None)
        if step is Step.BEGIN_EPOCH:
            raise StartOverError("the table was emptied as soon as it was begun")
        if step is Step.REBUILD:
            return await self._rebuild(state)
        await self._keep(state)
        return 0.0

    async def _begin_epoch(self, state: TableState) -> None:
        random_part = secrets.token_hex(8)
        epoch = await self._writer.begin_epoch(state.stored_epoch, random_part)
        if epoch.endswith(random_part):
            self.counts.epochs += 1
            logger.info("routing table begun", epoch=epoch, former=state.stored_epoch)

    async def _rebuild(self, state: TableState) -> float:
        lock = f"rebuild:{self.source}"
        if not await self._writer.try_lock(lock, REBUILD_LOCK_S):
            return OTHER_AT_WORK_S
        try:
            written = await self._compare(state, lock)
        finally:
            with contextlib.suppress(TableAwayError):
                await self._writer.unlock(lock)
        self.counts.rebuilds += 1
        logger.info("routing table rebuilt", source=self.source, records=written)
        # It was a full comparison: the next is due in an hour.
        await self._writer.try_lock(f"compare:{self.source}", spread_s(COMPARE_EVERY_S, self._jitter()))
        await self._writer.try_lock(f"catch-up:{self.source}", CATCH_UP_EVERY_S)
        return 0.0

    async def _keep(self, state: TableState) -> None:
        compare = f"compare:{self.source}"
        if await self._writer.try_lock(compare, spread_s(COMPARE_EVERY_S, self._jitter())):
            try:
                self.counts.repaired += await self._compare(state, None)
            except BaseException:
                with contextlib.suppress(TableAwayError):
                    await self._writer.unlock(compare)
                raise
            self.counts.comparisons += 1
        elif await self._writer.try_lock(f"catch-up:{self.source}", CATCH_UP_EVERY_S):
            await self._catch_up(state)

    async def _catch_up(self, state: TableState) -> None:
        """Apply what changed since the floor, as if it were delivered again."""
        assert state.epoch is not None
        await self._client.head(seen_of(state, self.source))
        page = await self._client.changes(state.floors[self.source] or 0)
        if page.incarnation != state.incarnations[self.source]:
            self.doubt_incarnation()
        elif not page.complete:
            self.counts.repaired += await self._compare(state, None)
            self.counts.comparisons += 1
        else:
            epoch = state.epoch
            outcomes = await asyncio.gather(
                *(self._writer.apply(record.change(), epoch=epoch) for record in page.records)
            )
            self.counts.repaired += outcomes.count(Outcome.APPLIED)
            await self._finish(epoch, page.incarnation, page.revision, outcomes, complete=False)
            self.counts.catch_ups += 1

    async def _compare(self, state: TableState, lock: str | None) -> int:
        """Bring the table to a snapshot; return how many records had to be written.

        The source is opened before the snapshot is begun: a live change that was refused until then was committed
        before it, so the snapshot holds it. Keys are removed only after the whole snapshot came without an error.
        """
        epoch, source = state.epoch, self.source
        assert epoch is not None
        head = await self._client.head(seen_of(state, source))
        opened = await self._writer.open_source(epoch, source, head.incarnation, head.revision)
        if opened is Outcome.OTHER_INCARNATION:
            await self._begin_epoch(state)
        if opened is not Outcome.APPLIED:
            raise StartOverError(opened)
        revision: int | None = None
        named: set[str] = set()
        written = 0
        async with contextlib.aclosing(self._client.snapshot()) as pages:
            async for page in pages:
                if page.incarnation != head.incarnation:
                    raise StartOverError("the source has another database now")
                if revision is None:
                    revision = page.revision
                changes = [record.change() for record in page.records]
                named.update(change.envelope.key for change in changes)
                written += await self._write_page(changes, epoch, revision)
                if lock is not None:
                    await self._writer.extend_lock(lock, REBUILD_LOCK_S)
        if revision is None:
            raise SourceAwayError(f"{source}: the snapshot has no page")
        await self._remove_missing(named, epoch, head.incarnation, revision)
        await self._finish(epoch, head.incarnation, revision, [], complete=True)
        return written

    async def _write_page(self, changes: list[Change], epoch: str, revision: int) -> int:
        own = [change for change in changes if change.envelope.source == self.source]
        outcomes = await self._writer.apply_snapshot(own, epoch=epoch, snapshot_revision=revision)
        if ends_the_attempt(outcomes):
            raise StartOverError("the table was begun anew meanwhile")
        return outcomes.count(Outcome.APPLIED)

    async def _remove_missing(self, named: set[str], epoch: str, incarnation: str, revision: int) -> None:
        missing = [key async for key in self._writer.keys_of(self.source) if key not in named]
        for start in range(0, len(missing), _REMOVE_AT_ONCE):
            outcomes = await asyncio.gather(
                *(
                    self._writer.remove_missing(
                        key,
                        epoch=epoch,
                        source=self.source,
                        incarnation=incarnation,
                        snapshot_revision=revision,
                    )
                    for key in missing[start : start + _REMOVE_AT_ONCE]
                )
            )
            if ends_the_attempt(outcomes):
                raise StartOverError("the table was begun anew meanwhile")
            self.counts.removed += outcomes.count(Outcome.APPLIED)

    async def _finish(
        self, epoch: str, incarnation: str, revision: int, outcomes: list[Outcome], *, complete: bool
    ) -> None:
        if ends_the_attempt(outcomes):
            raise StartOverError("the table was begun anew meanwhile")
        outcome = await self._writer.finish(epoch, self.source, incarnation, revision, complete=complete)
        if outcome is not Outcome.APPLIED:
            raise StartOverError(outcome)

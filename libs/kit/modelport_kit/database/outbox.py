"""Publishing what was committed: at once by the process that committed, by a sweep where that failed.

No leader and no cursor: whatever rows are there and unpublished are claimed and published. While the bus is
away nothing is lost; a row that a newer one of its key supersedes is not published at all.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable

from sqlalchemy import ColumnElement, and_, case, delete, func, or_, select, update

from modelport_contracts.records import Change, Envelope, IndexEntry
from modelport_kit.database.engine import Database
from modelport_kit.database.tables import OUTBOX, REVISION
from modelport_kit.database.write import MAX_COMMIT_CLAIM_S, OutboxRow

logger = logging.getLogger(__name__)

Publish = Callable[[Change], Awaitable[None]]

SWEEP_EVERY_S = 0.25
CLAIM_S = 5.0
AWAY_PAUSE_S = 1.0
"""Between two attempts of the sweep while the bus is away."""
OWN_CHANCE_S = 1.0
"""A fresh row is left to the process that committed it for this long."""
PRUNE_EVERY_S = 600.0
KEPT_S = 24 * 3600.0
"""Published rows stay this long, for the changes interface."""
REFUSALS_BEFORE_SET_ASIDE = 3
SET_ASIDE_S = 180.0
"""What is set aside is tried again after this long: room on the bus's disk comes back."""
AT_ONCE = 64
"""Messages that are published concurrently; more would only hold up the rest of the process."""
_BATCH = 256
_AWAY = (ConnectionError, TimeoutError, OSError)


class OutboxPublisher:
    """Publishes a database's outbox. `publish` raises an OSError (ConnectionError, TimeoutError) where the bus is
    away and anything else where it refuses the message.
    """

    def __init__(self, database: Database, publish: Publish, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._publish = publish
        self._clock = clock
        self._fresh: list[OutboxRow] = []
        self._published: set[int] = set()
        """Rows that are on the bus and not yet marked so. Whoever dies with them has them published again."""
        self._wake = asyncio.Event()
        self.set_aside = 0
        """Rows set aside by this process, for metrics."""
        database.on_commit = self.committed

    def committed(self, rows: list[OutboxRow]) -> None:
        """Take the rows of a transaction that has just committed."""
        self._fresh.extend(rows)
        self._wake.set()

    async def run(self, swept: Callable[[], None] = lambda: None) -> None:
        """Publish for ever. The sweep runs also where nothing was committed here.

        `swept` is called whenever a sweep has left nothing behind.
        """
        sweeping = asyncio.create_task(self._sweep_for_ever(swept))
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                rows, self._fresh = self._fresh, []
                await self._publish_fresh(rows)
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)

    async def _publish_fresh(self, rows: list[OutboxRow]) -> None:
        """Publish what was committed, in parts: no statement takes a large transaction as a whole, nor the loop."""
        for start in range(0, len(rows), _BATCH):
            left = await self._publish_rows(rows[start : start + _BATCH])
            if left and len(rows) > _BATCH:
                # a large transaction is claimed for long; the sweep may have it as soon as the bus is back
                for rest in range(start, len(rows), _BATCH):
                    await self._release([row.id for row in rows[rest : rest + _BATCH]])
                return

    async def _sweep_for_ever(self, swept: Callable[[], None]) -> None:
        # Not the wall clock: it may be set back.
        monotonic = asyncio.get_running_loop().time
        next_prune = monotonic()
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            try:
                await self._mark_published()
                if await self.sweep():
                    swept()
                else:
                    await asyncio.sleep(AWAY_PAUSE_S)
                if monotonic() >= next_prune:
                    await self.prune()
                    next_prune = monotonic() + PRUNE_EVERY_S
            except Exception as error:
                logger.warning("outbox sweep failed, trying again: %s", type(error).__name__)
                await asyncio.sleep(1)

    async def sweep(self) -> bool:
        """Publish what waits, whoever committed it; say whether the bus was there."""
        while rows := await self.claim():
            if left := await self._publish_rows(rows, claimed=True):
                await self._release(left)
                return False
        return True

    async def claim(self) -> list[OutboxRow]:
        """Claim unpublished rows for a while, oldest first, so that no other process publishes them meanwhile."""
        now = self._clock()
        waiting = _waiting(now)
        async with self._database.read() as connection:
            if (await connection.execute(select(OUTBOX.c.id).where(waiting).limit(1))).first() is None:
                return []
        picked = select(OUTBOX.c.id).where(waiting).order_by(OUTBOX.c.id).limit(_BATCH)
        picked = picked.with_for_update(skip_locked=True)
        async with self._database.write() as write:
            incarnation = (await write.execute(select(REVISION.c.incarnation))).scalar_one()
            result = await write.execute(
                update(OUTBOX).where(OUTBOX.c.id.in_(picked)).values(claimed_until=now + CLAIM_S).returning(OUTBOX)
            )
            rows = result.all()
        claimed = [
            OutboxRow(
                row.id,
                Change(
                    envelope=Envelope(
                        key=row.key,
                        source=self._database.source,
                        incarnation=incarnation,
                        revision=row.revision,
                        operation=row.operation,
                        index=tuple(IndexEntry(**entry) for entry in json.loads(row.index_entries)),
                    ),
                    payload=row.payload,
                ),
            )
            for row in rows
        ]
        return sorted(claimed, key=lambda row: row.id)

    async def _release(self, ids: list[int]) -> None:
        async with self._database.write() as write:
            await write.execute(update(OUTBOX).where(OUTBOX.c.id.in_(ids)).values(claimed_until=0))

    async def _publish_rows(self, rows: list[OutboxRow], *, claimed: bool = False) -> list[int]:
        """Publish rows; returns the ids of those that the bus, being away, did not take."""
        newest = newest_per_key(rows)
        # a single row that was committed a moment ago is hardly ever superseded, and publishing it is harmless
        superseded = await self._superseded_elsewhere(newest.values()) if claimed or len(rows) > 1 else set()
        to_publish = [row for row in newest.values() if row.id not in superseded]
        outcomes: list[BaseException | None] = []
        for start in range(0, len(to_publish), AT_ONCE):
            part = to_publish[start : start + AT_ONCE]
            outcomes += await asyncio.gather(*(self._publish(row.change) for row in part), return_exceptions=True)
        done = {row.id for row in rows} - {row.id for row in to_publish}
        refused, left = [], []
        for row, outcome in zip(to_publish, outcomes, strict=True):
            if outcome is None:
                done.add(row.id)
            elif isinstance(outcome, asyncio.CancelledError):
                raise outcome
            elif isinstance(outcome, _AWAY):
                left.append(row.id)
            else:
                refused.append(row)
                logger.error("the bus refused %s: %s", row.change.envelope.key, outcome)
        self._published |= done
        if claimed:
            await self._mark_published()
        # Of a fresh row the next sweep does it: whom the change is for has the processor first, and many rows are
        # one transaction.
        if refused:
            await self._count_refusals([row.id for row in refused])
        return left

    async def _mark_published(self) -> None:
        while ids := sorted(self._published)[:_BATCH]:
            async with self._database.write() as write:
                await write.execute(
                    update(OUTBOX).where(OUTBOX.c.id.in_(ids)).values(published_at=self._clock(), set_aside=False)
                )
            self._published.difference_update(ids)

    async def _superseded_elsewhere(self, rows: Iterable[OutboxRow]) -> set[int]:
        by_key = {row.change.envelope.key: row for row in rows}
        statement = (
            select(OUTBOX.c.key, func.max(OUTBOX.c.revision)).where(OUTBOX.c.key.in_(by_key)).group_by(OUTBOX.c.key)
        )
        async with self._database.read() as connection:
            newest = (await connection.execute(statement)).all()
        return {by_key[key].id for key, top in newest if top > by_key[key].change.envelope.revision}

    async def _count_refusals(self, ids: list[int]) -> None:
        async with self._database.write() as write:
            await write.execute(update(OUTBOX).where(OUTBOX.c.id.in_(ids)).values(refusals=OUTBOX.c.refusals + 1))
            result = await write.execute(
                update(OUTBOX)
                .where(OUTBOX.c.id.in_(ids), OUTBOX.c.refusals >= REFUSALS_BEFORE_SET_ASIDE)
                .values(set_aside=True, claimed_until=self._clock() + SET_ASIDE_S)
                .returning(OUTBOX.c.key, OUTBOX.c.refusals)
            )
            # those that are refused once more were told of
            keys = [row.key for row in result if row.refusals == REFUSALS_BEFORE_SET_ASIDE]
        self.set_aside += len(keys)
        for key in keys:
            logger.error("set aside after %d refusals: %s", REFUSALS_BEFORE_SET_ASIDE, key)

    async def prune(self) -> int:
        """Remove published rows past their time; returns how many."""
        old = and_(OUTBOX.c.published_at.is_not(None), OUTBOX.c.published_at < self._clock() - KEPT_S)
        async with self._database.write() as write:
            top = (await write.execute(select(func.max(OUTBOX.c.revision)).where(old))).scalar()
            if top is None:
                return 0
            result = await write.execute(delete(OUTBOX).where(old))
            await write.execute(update(REVISION).where(REVISION.c.pruned_through < top).values(pruned_through=top))
            return result.rowcount


def _waiting(now: float) -> ColumnElement[bool]:
    """Say which rows the sweep may have.

    Times are those of the processes' wall clocks, which are set back now and then. A row that is said to be of the
    future, or claimed for longer than anybody claims, was written before that: nobody's chance or claim is left.
    Publishing a row twice does no harm.
    """
    longest = case((OUTBOX.c.set_aside, SET_ASIDE_S), else_=MAX_COMMIT_CLAIM_S)
    return and_(
        OUTBOX.c.published_at.is_(None),
        or_(OUTBOX.c.claimed_until < now, OUTBOX.c.claimed_until > now + longest),
        or_(OUTBOX.c.created_at < now - OWN_CHANCE_S, OUTBOX.c.created_at > now + OWN_CHANCE_S),
    )


def newest_per_key(rows: list[OutboxRow]) -> dict[str, OutboxRow]:
    """Keep the row of the highest revision of each key; the order of first appearance stays."""
    newest: dict[str, OutboxRow] = {}
    for row in rows:
        envelope = row.change.envelope
        known = newest.get(envelope.key)
        if known is None or envelope.revision >= known.change.envelope.revision:
            newest[envelope.key] = row
    return newest

"""The outbox on real databases: nothing is lost, nothing superseded is sent (docs/propagation.md, rules 4 to 7)."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import event, func, select, update

from modelport_bus import Bus
from modelport_contracts.events import ALL_CHANGES
from modelport_contracts.records import Change
from modelport_kit.database import outbox
from modelport_kit.database.changes import MAX_CHANGES, changes_after
from modelport_kit.database.engine import Database
from modelport_kit.database.outbox import KEPT_S, OutboxPublisher
from modelport_kit.database.tables import OUTBOX, REVISION
from modelport_kit.database.write import CHUNK
from modelport_testing.polling import eventually
from modelport_testing.servers import NatsServer
from modelport_testing.things import put, remove


class Clock:
    """Time that a test moves on by itself."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Wire:
    """What a bus takes, or fails to take: the publisher's own parameter, not a part of ours."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, int]] = []
        self.refuses: set[str] = set()
        self.away = False
        self.attempts = 0

    async def __call__(self, change: Change) -> None:
        self.attempts += 1
        name = change.envelope.key.rpartition("/")[2]
        if self.away:
            raise ConnectionError("away")
        if name in self.refuses:
            raise ValueError("refused")
        self.taken.append((name, change.envelope.revision))


@contextlib.asynccontextmanager
async def running(publisher: OutboxPublisher) -> AsyncIterator[None]:
    task = asyncio.create_task(publisher.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def put_many(database: Database, count: int) -> None:
    async with database.write() as write:
        for number in range(count):
            write.put(f"model/default/thing-{number}", b"{}")


async def unpublished(database: Database) -> list[str]:
    statement = select(OUTBOX.c.key).where(OUTBOX.c.published_at.is_(None)).order_by(OUTBOX.c.id)
    async with database.read() as connection:
        return [key.rpartition("/")[2] for key in (await connection.execute(statement)).scalars()]


async def only_unpublished(database: Database, key: str) -> bool:
    return await unpublished(database) == [key]


async def all_published(database: Database) -> bool:
    return await unpublished(database) == []


async def test_what_is_committed_is_published_at_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire()
    monkeypatch.setattr(outbox, "OWN_CHANCE_S", 3600.0)  # so the sweep is not the one that publishes
    async with running(OutboxPublisher(database, wire)):
        for number in range(5):
            await put(database, f"thing-{number}")
            await eventually(lambda number=number: len(wire.taken) == number + 1, 2)  # type: ignore[misc]
        await eventually(lambda: all_published(database))
    assert wire.taken == [(f"thing-{number}", number + 1) for number in range(5)]


async def test_the_sweep_publishes_what_a_crash_left(open_database: Callable[[], Database]) -> None:
    crashed = open_database()
    for number in range(5):
        await put(crashed, f"thing-{number}")
    database, wire = open_database(), Wire()
    assert await unpublished(database) == [f"thing-{number}" for number in range(5)]
    async with running(OutboxPublisher(database, wire)):
        assert wire.attempts == 0, "a fresh row belongs to the process that committed it"
        await eventually(lambda: all_published(database))
    assert wire.taken == [(f"thing-{number}", number + 1) for number in range(5)]


async def test_a_superseded_row_is_not_published(open_database: Callable[[], Database]) -> None:
    crashed = open_database()
    await put(crashed, "a", text="1")
    await put(crashed, "b")
    await put(crashed, "a", text="2")
    await remove(crashed, "a")
    database, wire, clock = open_database(), Wire(), Clock()
    clock.ahead = 10
    async with running(OutboxPublisher(database, wire, clock=clock)):
        await eventually(lambda: all_published(database))
    assert sorted(wire.taken) == [("a", 4), ("b", 2)]


async def test_nor_is_a_single_one_whose_successor_went_out_long_ago(
    open_database: Callable[[], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(open_database(), "a", text="left by a crash")
    database, wire, clock = open_database(), Wire(), Clock()
    clock.ahead = -0.5 * KEPT_S
    monkeypatch.setattr(outbox, "OWN_CHANCE_S", KEPT_S)  # the sweep sees nothing until the clock moves on
    publisher = OutboxPublisher(database, wire, clock=clock)
    async with running(publisher):
        await put(database, "a", text="newer")
        await eventually(lambda: wire.taken == [("a", 2)])
        clock.ahead = KEPT_S + 10
        await eventually(lambda: all_published(database))
    assert wire.taken == [("a", 2)]


async def test_while_the_bus_is_away_changes_wait(nats: NatsServer, database: Database) -> None:
    received: dict[str, list[int]] = {}

    async def handler(change: Change) -> None:
        received.setdefault(change.envelope.key.rpartition("/")[2], []).append(change.envelope.revision)

    async with Bus(nats.url, name="test") as bus:
        consuming = asyncio.create_task(bus.consume("test", ALL_CHANGES, handler))
        async with running(OutboxPublisher(database, bus.publish)):
            await put(database, "before")
            await eventually(lambda: "before" in received)
            await eventually(lambda: all_published(database))  # rows are marked after the rush
            nats.stop()
            for number in range(20):
                await put(database, f"meanwhile-{number % 10}")
            assert len(await unpublished(database)) == 20
            nats.start()
            await eventually(lambda: all_published(database), 15)
            await eventually(lambda: len(received) == 11, 15)
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)
    newest = {f"meanwhile-{number}": 12 + number for number in range(10)}
    assert {name: max(revisions) for name, revisions in received.items()} == {"before": 1, **newest}


async def test_a_returning_bus_gets_them_soon(open_database: Callable[[], Database]) -> None:
    await put(open_database(), "a")
    database, wire = open_database(), Wire()
    wire.away = True
    async with running(OutboxPublisher(database, wire)):
        await eventually(lambda: wire.attempts >= 2)
        wire.away = False
        # well before the claim of the failed attempt would have run out
        await eventually(lambda: wire.taken == [("a", 1)], outbox.CLAIM_S - 2)


async def test_a_refused_row_is_set_aside_and_blocks_no_other(open_database: Callable[[], Database]) -> None:
    crashed = open_database()
    await put(crashed, "bad")
    await put(crashed, "good")
    database, wire, clock = open_database(), Wire(), Clock()
    wire.refuses = {"bad"}
    publisher = OutboxPublisher(database, wire, clock=clock)
    async with running(publisher):
        clock.ahead = 10
        for attempts in (2, 3, 4):
            await eventually(lambda attempts=attempts: wire.attempts == attempts)  # type: ignore[misc]
            await eventually(lambda: refusals_counted(database, wire.attempts - 1))
            clock.ahead += 10
        await eventually(lambda: publisher.set_aside == 1)
        assert await publisher.claim() == []
        await put(database, "later")
        await eventually(lambda: ("later", 3) in wire.taken)
        await eventually(lambda: only_unpublished(database, "bad"))
    assert wire.taken == [("good", 2), ("later", 3)]


async def test_what_was_set_aside_is_tried_again_later(open_database: Callable[[], Database]) -> None:
    """The bus may have refused for want of room on its disk, and there may be room by then."""
    await put(open_database(), "bad")
    database, wire, clock = open_database(), Wire(), Clock()
    wire.refuses = {"bad"}
    publisher = OutboxPublisher(database, wire, clock=clock)
    async with running(publisher):
        for attempts in (1, 2, 3, 4):
            clock.ahead += 10 if attempts < 4 else outbox.SET_ASIDE_S
            await eventually(lambda attempts=attempts: wire.attempts == attempts)  # type: ignore[misc]
            await eventually(lambda: refusals_counted(database, wire.attempts))
        assert await publisher.claim() == []
        wire.refuses = set()
        clock.ahead += outbox.SET_ASIDE_S
        await eventually(lambda: all_published(database))
    assert (wire.taken, publisher.set_aside) == ([("bad", 1)], 1)


async def test_a_large_transaction_goes_out_in_parts(database: Database) -> None:
    """No statement grows with it (PostgreSQL takes 32,767 parameters), and a bounded number is published at once."""
    sizes: list[int] = []
    at_once: list[int] = []
    published: set[str] = set()
    running_now = 0

    def executing(*arguments: Any) -> None:
        parameters = arguments[3]  # of one statement, or a list of those of several
        sizes.append(sum(map(len, parameters)) if isinstance(parameters, list) else len(parameters))

    async def publish(change: Change) -> None:
        nonlocal running_now
        running_now += 1
        at_once.append(running_now)
        await asyncio.sleep(0)
        running_now -= 1
        published.add(change.envelope.key)

    event.listen(database.engine.sync_engine, "before_cursor_execute", executing)
    async with running(OutboxPublisher(database, publish)):
        await put_many(database, 3000)
        await eventually(lambda: all_published(database), 20)
    assert len(published) == 3000
    assert max(at_once) == outbox.AT_ONCE
    assert max(sizes) <= 10 * CHUNK


async def test_a_large_transaction_is_its_makers_for_longer(
    open_database: Callable[[], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep must not publish it a second time meanwhile; where the bus is away the maker lets go of it."""
    maker, clock, wire = open_database(), Clock(), Wire()
    await put_many(maker, 1000)
    other = OutboxPublisher(open_database(), wire, clock=clock)
    async with maker.read() as connection:
        made_at = (await connection.execute(select(func.min(OUTBOX.c.created_at)))).scalar_one()
    # counted from then: the machine may have been busy since
    clock.ahead = made_at + outbox.OWN_CHANCE_S + 0.2 - time.time()
    assert await other.claim() == []
    clock.ahead = 10
    assert len(await other.claim()) == 256
    wire.away = True
    monkeypatch.setattr(outbox, "OWN_CHANCE_S", 3600.0)  # its own sweep sees nothing
    async with running(OutboxPublisher(maker, wire)):
        await put_many(maker, 1000)
        await eventually(lambda: wire.attempts == 256)

        async def let_go() -> bool:
            of_it = select(func.count()).where(OUTBOX.c.claimed_until == 0, OUTBOX.c.revision == 2)
            async with maker.read() as connection:
                return bool((await connection.execute(of_it)).scalar_one() == 1000)

        await eventually(let_go)


@pytest.mark.parametrize("jump_s", [-7 * 24 * 3600, -3600, -90, 3600])
async def test_a_clock_that_is_set_delays_nothing(open_database: Callable[[], Database], jump_s: float) -> None:
    """What another process left, claimed or set aside before the clock was set, is published (rule 4)."""
    await put(open_database(), "left")
    await put(open_database(), "claimed")
    await put(open_database(), "set-aside")
    crashed, publisher_clock = OutboxPublisher(open_database(), Wire(), clock=(ahead := Clock())), Clock()
    ahead.ahead = 10
    left, claimed, aside = await crashed.claim()
    async with open_database().write() as write:
        await write.execute(update(OUTBOX).where(OUTBOX.c.id == left.id).values(claimed_until=0))
        far = time.time() + outbox.SET_ASIDE_S
        values = {"claimed_until": far, "refusals": 3, "set_aside": True}
        await write.execute(update(OUTBOX).where(OUTBOX.c.id == aside.id).values(**values))
    publisher_clock.ahead = jump_s
    publisher = OutboxPublisher(open_database(), Wire(), clock=publisher_clock)
    assert [row.id for row in await publisher.claim()] == [left.id, claimed.id, aside.id]
    assert await publisher.claim() == [], "what it has just claimed is its own, also under the new clock"


async def refusals_counted(database: Database, refusals: int) -> bool:
    statement = select(OUTBOX.c.refusals).where(OUTBOX.c.key == "provider/default/bad")
    async with database.read() as connection:
        return bool((await connection.execute(statement)).scalar_one() == refusals)


async def test_two_processes_claim_different_rows(open_database: Callable[[], Database]) -> None:
    await put(open_database(), *(f"thing-{number:03}" for number in range(600)))
    clock = Clock()
    clock.ahead = 10
    publishers = [OutboxPublisher(open_database(), Wire(), clock=clock) for _ in range(2)]
    claims = await asyncio.gather(*(publisher.claim() for publisher in publishers for _ in range(2)))
    claimed = [row.id for rows in claims for row in rows]
    assert len(claimed) == len(set(claimed)) == 600
    assert all([row.id for row in rows] == sorted(row.id for row in rows) for rows in claims)
    assert await publishers[0].claim() == []
    clock.ahead += outbox.CLAIM_S + 1
    assert len(await publishers[0].claim()) == 256


async def test_changes_since_a_revision(database: Database) -> None:
    await put(database, "a", text="1")
    await put(database, "b")
    await put(database, "a", text="2")
    await remove(database, "b")
    everything = await changes_after(database, 0)
    assert (everything.incarnation, everything.revision, everything.complete) == ("one", 4, True)
    changes = {record.envelope.key: record.change() for record in everything.records}
    assert changes["provider/default/a"].payload == b"a 2"
    assert changes["provider/default/a"].envelope.revision == 3
    assert (changes["provider/default/b"].envelope.operation, changes["provider/default/b"].payload) == ("delete", b"")
    assert [record.envelope.revision for record in (await changes_after(database, 3)).records] == [4]
    assert (await changes_after(database, 4)).records == []
    assert (await changes_after(database, 4)).complete
    future = await changes_after(database, 5)
    assert not future.complete, "a revision that was never given belongs to another life of this database"


async def test_published_rows_are_kept_for_a_day(database: Database) -> None:
    wire, clock = Wire(), Clock()
    publisher = OutboxPublisher(database, wire, clock=clock)
    async with running(publisher):
        await put(database, "a")
        await put(database, "b")
        await eventually(lambda: all_published(database))
    assert await publisher.prune() == 0
    clock.ahead = KEPT_S + 10
    await put(database, "c")
    assert await publisher.prune() == 2
    assert await publisher.prune() == 0
    assert await unpublished(database) == ["c"]
    for after, complete in ((0, False), (1, False), (2, True), (3, True)):
        page = await changes_after(database, after)
        assert page.complete == complete, after
        assert [record.envelope.revision for record in page.records] == ([3] if after == 2 else [])


async def test_more_changes_than_a_page_are_not_told(database: Database) -> None:
    async with database.write() as write:
        for number in range(MAX_CHANGES):
            write.put(f"model/default/thing-{number}", b"{}")
    assert len((await changes_after(database, 0)).records) == MAX_CHANGES
    await put(database, "one-more")
    page = await changes_after(database, 0)
    assert (page.complete, page.records) == (False, [])
    async with database.write() as write:
        await write.execute(REVISION.update().values(incarnation="two"))
    assert (await changes_after(database, 1)).incarnation == "two"

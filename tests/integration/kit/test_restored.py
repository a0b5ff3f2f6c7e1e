"""A database that went back to a backup becomes another incarnation (docs/propagation.md, rule 2)."""

import asyncio
from collections.abc import Callable

from modelport_bus import Bus
from modelport_contracts.records import Envelope
from modelport_contracts.sync import Position
from modelport_kit.database.changes import changes_after
from modelport_kit.database.engine import Database
from modelport_kit.database.outbox import OutboxPublisher
from modelport_kit.database.restored import compare_with_stream, seen
from modelport_kit.database.tables import REVISION
from modelport_testing.polling import eventually
from modelport_testing.servers import NatsServer
from modelport_testing.things import put


def at(incarnation: str, revision: int) -> Position:
    return Position(incarnation=incarnation, revision=revision)


async def test_what_was_seen_is_never_given_again(open_database: Callable[[], Database]) -> None:
    database, replica = open_database(), open_database()
    await put(database, "a")
    await put(database, "b")
    after = await asyncio.gather(*(seen(one, at("one", 40)) for one in (database, replica, database, replica)))
    assert len({position.incarnation for position in after}) == 1, "they become one other database, not four"
    assert after[0].incarnation != "one"
    assert after[0].revision == 40
    assert await put(replica, "c") == 41
    assert not (await changes_after(database, 2)).complete, "of what was passed over nobody knows"
    assert (await changes_after(database, 40)).complete


async def test_what_proves_nothing_changes_nothing(database: Database) -> None:
    await put(database, "a")
    for position in (at("one", 0), at("one", 1), at("a former one", 99)):
        assert await seen(database, position) == at("one", 1)


async def test_the_last_change_is_published_under_the_new_incarnation(database: Database) -> None:
    published: list[Envelope] = []

    async def publish(change: object) -> None:
        published.append(change.envelope)  # type: ignore[attr-defined]

    publisher = OutboxPublisher(database, publish, clock=lambda: 10**10)
    await put(database, "a")
    await put(database, "b")
    assert await publisher.sweep()
    published.clear()
    renewed = await seen(database, at("one", 40))
    assert await publisher.sweep()
    assert [(one.key, one.incarnation) for one in published] == [("provider/default/b", renewed.incarnation)]


async def test_the_stream_tells_at_the_start(nats: NatsServer, open_database: Callable[[], Database]) -> None:
    database = open_database()
    async with Bus(nats.url, name="test") as bus:

        async def start() -> Position:
            await compare_with_stream(database, lambda: bus.newest("models"))
            return await seen(database, at("nobody's", 0))

        await put(database, "a")
        assert await start() == at("one", 1), "a stream that holds nothing says nothing"
        publisher = OutboxPublisher(database, bus.publish, clock=lambda: 10**10)
        assert await eventually(publisher.sweep, 15)
        assert [await put(database, name) for name in "bcd"] == [2, 3, 4]
        assert await eventually(publisher.sweep, 15)
        assert await bus.newest("secrets") is None
        assert await start() == at("one", 4), "as a restart is"
        await _take_back(database, "one", 2)
        restored = await start()
        assert restored.incarnation != "one"
        assert restored.revision == 4
        assert await put(database, "e") == 5


async def test_a_backup_from_before_a_former_restore(nats: NatsServer, database: Database) -> None:
    """The stream has another incarnation's changes last, and the database's own may still be in it."""
    await put(database, "a")
    async with Bus(nats.url, name="test") as bus:
        await _take_back(database, "two", 30)
        published = OutboxPublisher(database, bus.publish, clock=lambda: 10**10)
        await bus.wait_connected()
        assert await eventually(published.sweep, 15)
        await _take_back(database, "one", 1)
        await compare_with_stream(database, lambda: bus.newest("models"))
    position = await seen(database, at("nobody's", 0))
    assert position.incarnation not in {"one", "two"}


async def test_a_service_starts_without_the_bus(database: Database) -> None:
    await put(database, "a")
    async with Bus("nats://127.0.0.1:1", name="test") as bus:
        async with asyncio.timeout(15):
            await compare_with_stream(database, lambda: bus.newest("models"))
    assert await seen(database, at("nobody's", 0)) == at("one", 1)


async def _take_back(database: Database, incarnation: str, revision: int) -> None:
    """Make the counter that of a backup."""
    async with database.write() as write:
        await write.execute(REVISION.update().values(incarnation=incarnation, n=revision))

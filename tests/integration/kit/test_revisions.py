"""Revisions on real databases (docs/propagation.md, rule 1)."""

import asyncio
import random
from collections.abc import Callable

import pytest
from sqlalchemy import func, insert, select, text

from modelport_contracts.records import MAX_RECORD_BYTES, IndexEntry
from modelport_kit.database.changes import current_revision
from modelport_kit.database.engine import Database
from modelport_kit.database.tables import OUTBOX
from modelport_kit.database.write import OutboxRow, RecordTooLargeError
from modelport_kit.errors import AwayError
from modelport_testing.postgres import start_postgres
from modelport_testing.things import THING, create_tables, put, remove


async def revisions(database: Database) -> list[int]:
    async with database.read() as connection:
        return list((await connection.execute(select(OUTBOX.c.revision).order_by(OUTBOX.c.id))).scalars())


async def test_commit_order_is_revision_order(open_database: Callable[[], Database]) -> None:
    draw = random.Random(7)
    writers = [open_database() for _ in range(4)]
    watcher = open_database()
    done = asyncio.Event()
    seen: list[int] = []

    async def write(database: Database, number: int) -> None:
        for step in range(10):
            async with database.write() as transaction:
                name = f"thing-{number}-{step}"
                await transaction.execute(insert(THING).values(id=name))
                await asyncio.sleep(draw.random() * 0.004)
                transaction.put(f"provider/default/{name}", b"{}", row=(THING, name))
                if step == 5:
                    await transaction.take_revision()
                    await asyncio.sleep(draw.random() * 0.02)

    async def watch() -> None:
        while not done.is_set():
            visible = await revisions(watcher)
            # whoever sees revision n sees every revision before it
            assert sorted(visible) == list(range(1, len(visible) + 1))
            seen.append(len(visible))
            await asyncio.sleep(0.001)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(write(database, number) for number, database in enumerate(writers)))
    done.set()
    await watching
    assert await revisions(watcher) == list(range(1, 41))
    assert len(set(seen)) > 3, "the watcher saw nothing of the race"
    async with watcher.read() as connection:
        stamped = set((await connection.execute(select(THING.c.revision))).scalars())
        assert stamped == set(range(1, 41))
        assert await current_revision(connection) == ("one", 40)


async def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    assert await put(database, "a") == 1

    async def failing() -> None:
        async with database.write() as write:
            await write.execute(insert(THING).values(id="b"))
            write.put("provider/default/b", b"{}")
            await write.take_revision()
            raise LookupError

    with pytest.raises(LookupError):
        await failing()
    assert await put(database, "c") == 2
    assert await revisions(database) == [1, 2]
    async with database.read() as connection:
        assert set((await connection.execute(select(THING.c.id))).scalars()) == {"a", "c"}


async def test_revisions_are_not_reused_after_rows_are_gone(database: Database) -> None:
    await put(database, "a")
    await put(database, "b")
    async with database.write() as write:
        await write.execute(OUTBOX.delete())
        await write.execute(THING.delete())
    assert await put(database, "c") == 3


async def test_nothing_published_takes_no_revision(database: Database) -> None:
    async with database.write() as write:
        await write.execute(insert(THING).values(id="quiet"))
    assert write.revision == 0
    assert await put(database, "a") == 1


async def test_one_transaction_is_one_revision(database: Database) -> None:
    committed: list[list[str]] = []
    database.on_commit = lambda rows: committed.append([row.change.envelope.key for row in rows])
    await put(database, "a", "b", "c")
    await remove(database, "b")
    assert await revisions(database) == [1, 1, 1, 2]
    assert committed == [["provider/default/a", "provider/default/b", "provider/default/c"], ["provider/default/b"]]


async def test_the_last_word_on_a_key_counts(database: Database) -> None:
    rows: list[OutboxRow] = []
    database.on_commit = rows.extend
    async with database.write() as write:
        write.put("model/a/b", b"first", (IndexEntry(index="i", field="f"),))
        write.delete("model/a/b")
        write.delete("model/a/c")
        write.put("model/a/c", b"second")
    told = [(row.change.envelope.key, row.change.envelope.operation, row.change.payload) for row in rows]
    assert told == [("model/a/b", "delete", b""), ("model/a/c", "put", b"second")]


async def test_a_record_that_is_too_large_stops_all_of_it(database: Database) -> None:
    async def big() -> None:
        async with database.write() as write:
            write.put("provider/default/fits", b"x" * MAX_RECORD_BYTES)
            write.put("provider/default/big", b"x" * (MAX_RECORD_BYTES + 1))

    with pytest.raises(RecordTooLargeError, match="provider/default/big") as caught:
        await big()
    assert caught.value.status == 413
    assert await revisions(database) == []


async def test_many_rows_in_one_transaction(database: Database) -> None:
    async with database.write() as write:
        await write.execute(insert(THING), [{"id": f"t{number}"} for number in range(6000)])
        for number in range(6000):
            write.put(f"model/default/t{number}", b"{}", row=(THING, f"t{number}"))
    assert [row.id for row in write.outbox] == sorted(row.id for row in write.outbox)
    async with database.read() as connection:
        count = select(func.count()).select_from(THING).where(THING.c.revision == 1)
        assert (await connection.execute(count)).scalar_one() == 6000


async def test_a_database_that_is_away_is_said_to_be() -> None:
    with start_postgres() as server:
        database = Database(server.url(server.create_database()), "models")
        await create_tables(database)
        await put(database, "a")
        server.stop()
        with pytest.raises(AwayError):
            await put(database, "b")
        with pytest.raises(AwayError):
            await revisions(database)
        server.start()
        assert await put(database, "b") == 2
        await database.close()


async def test_a_busy_database_is_away_too(postgres_url: str) -> None:
    database = Database(postgres_url, "models")
    await create_tables(database)
    async with database.read() as connection:
        await connection.execute(text("SELECT 1"))
        with pytest.raises(AwayError):  # the server ends our own session, as an operator would
            async with database.read() as other:
                await other.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    await database.close()

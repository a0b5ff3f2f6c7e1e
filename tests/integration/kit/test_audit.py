"""The audit trail on real databases: whole, append-only, kept (docs/audit.md)."""

import asyncio
import contextlib
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from modelport_contracts.resources.audit import AuditEvent
from modelport_kit.audit import Event
from modelport_kit.database.audit import AuditTrail
from modelport_kit.database.engine import Database
from modelport_kit.database.migrate import prepare
from modelport_kit.database.tables import OUTBOX
from modelport_kit.lists import PageRequest
from modelport_kit.origin import Origin
from modelport_secrets.app import MIGRATIONS
from modelport_testing.frozen import ROOT

MADE = Event("create", "secret", "team", "key", after={"version": 1})
READ = Event("reveal", "secret", "team", "key", after={"version": 1})

_EVERYWHERE = (
    "UPDATE audit SET actor = 'nobody'",
    "DELETE FROM audit",
    "DELETE FROM audit WHERE name = 'key'",
    "INSERT INTO audit SELECT * FROM audit WHERE true ON CONFLICT (id) DO UPDATE SET actor = 'nobody'",
)
_ON_SQLITE = ("INSERT OR REPLACE INTO audit SELECT * FROM audit", "REPLACE INTO audit SELECT * FROM audit")
_ON_POSTGRESQL = ("TRUNCATE audit", "TRUNCATE audit RESTART IDENTITY CASCADE", "DELETE FROM audit WHERE id = -1")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database as the migrations make it."""
    await prepare(database_url, "secrets", MIGRATIONS, migrate_now=True)
    opened = Database(database_url, "secrets")
    yield opened
    await opened.close()


async def rows(database: Database) -> list[AuditEvent]:
    return (await AuditTrail(database).list(PageRequest(sort="created_at")))[0]


async def test_a_change_and_its_row_are_one(database: Database) -> None:
    async with database.write() as write:
        write.put("secret/team/key", b"{}")
        write.tell(MADE, Origin("front-door", "192.0.2.1", "r-1"))

    async def failing() -> None:
        async with database.write() as write:
            write.put("secret/team/other", b"{}")
            write.tell(MADE)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await failing()
    [row] = await rows(database)
    assert (row.service, row.actor, row.address, row.request_id) == ("secrets", "front-door", "192.0.2.1", "r-1")
    assert (row.action, row.kind, row.workspace, row.name, row.outcome) == ("create", "secret", "team", "key", "ok")
    assert (row.before, row.after) == (None, {"version": 1})
    assert len(await database.fetch(select(OUTBOX.c.id))) == 1


async def test_without_a_request_a_service_acts_by_itself(database: Database) -> None:
    async with database.write() as write:
        write.tell(MADE)
    [row] = await rows(database)
    assert (row.actor, row.address, row.request_id) == ("secrets", None, None)


async def test_nothing_but_adding_is_possible(database: Database) -> None:
    async with database.write() as write:
        write.tell(MADE)
    kept = await rows(database)
    for statement in (*_EVERYWHERE, *(_ON_SQLITE if database.is_sqlite else _ON_POSTGRESQL)):
        async with database.engine.connect() as connection:
            with pytest.raises(DBAPIError, match="the audit trail is append-only"):
                await connection.execute(text(statement))
            await connection.rollback()
        assert await rows(database) == kept, statement
    async with database.write() as write:
        write.tell(MADE)
    assert len(await rows(database)) == 2


async def test_archiving_as_documented(database: Database) -> None:
    """docs/audit.md, Archiving: the owner removes what is old, and the trail is append-only again."""
    await AuditTrail(database).tell(READ)
    page = (ROOT / "docs/audit.md").read_text()
    [_, on_postgresql, on_sqlite] = page.split("```sql\n")
    block = (on_sqlite if database.is_sqlite else on_postgresql).partition("```")[0]
    statements = block[block.index("BEGIN") :].replace("'2026-01-01'", "'9999-01-01'")
    if database.is_sqlite:
        with contextlib.closing(sqlite3.connect(str(database.engine.url.database))) as connection:
            connection.executescript(statements)
    else:
        async with database.engine.connect() as asynchronous:
            raw = await asynchronous.get_raw_connection()
            await raw.driver_connection.execute(statements)  # type: ignore[union-attr]
    assert await rows(database) == []
    await test_nothing_but_adding_is_possible(database)


async def test_what_is_told_at_once_is_written_together(database: Database) -> None:
    trail = AuditTrail(database)
    before = database.counts.transactions["write", "committed"]
    await asyncio.gather(*(trail.tell(READ) for _ in range(40)))
    assert database.counts.transactions["write", "committed"] - before <= 3
    assert len(await rows(database)) == 40


async def test_a_failure_reaches_everybody_who_told(database: Database) -> None:
    async with database.write() as write:
        await write.execute(text("ALTER TABLE audit RENAME TO elsewhere"))
    trail = AuditTrail(database)
    outcomes = await asyncio.gather(*(trail.tell(READ) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(one, Exception) for one in outcomes)
    async with database.write() as write:
        await write.execute(text("ALTER TABLE elsewhere RENAME TO audit"))
    await trail.tell(READ)
    assert len(await rows(database)) == 1, "what failed is not told later, and what comes later is"


async def test_who_leaves_does_not_keep_the_others_from_telling(database: Database) -> None:
    trail = AuditTrail(database)
    leaves = asyncio.create_task(trail.tell(READ))
    stays = asyncio.create_task(trail.tell(READ))
    await asyncio.sleep(0)
    leaves.cancel()
    await stays
    assert len(await rows(database)) == 2


_TELL_AND_DIE = """
import asyncio, os, signal, sys
from modelport_kit.audit import Event
from modelport_kit.database.audit import AuditTrail
from modelport_kit.database.engine import Database

async def main():
    await AuditTrail(Database(sys.argv[1], "secrets")).tell(Event("reveal", "secret", "team", "key"))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_what_was_told_outlives_the_process(database: Database, tmp_path: Path) -> None:
    program = tmp_path / "tell.py"
    program.write_text(_TELL_AND_DIE)
    died = await asyncio.create_subprocess_exec(sys.executable, str(program), database.url)
    assert await died.wait() == -signal.SIGKILL
    [row] = await rows(database)
    assert (row.action, row.name) == ("reveal", "key")

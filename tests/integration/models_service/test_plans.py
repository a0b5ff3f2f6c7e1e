"""What is done for every record, every change or every second reads no whole table: it would grow with its square."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from modelport_contracts.resources.providers import ProviderCreate, ProviderStatusUpdate, ServedModel
from modelport_kit.database.engine import Database
from modelport_kit.database.migrate import prepare
from modelport_models.app import MIGRATIONS
from modelport_models.store import Stores
from modelport_models.store.common import served_by
from modelport_models.tables import SERVED

LARGE = ("provider", "served_model", "model", "virtual_model")
TEAMS = ("team-a", "team-b")
Statement = tuple[str, Any]


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Database]:
    """SQLite, which says before reading how it will; PostgreSQL decides by how much there is."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'database.db'}"
    await prepare(url, "models", MIGRATIONS, migrate_now=True)
    database = Database(url, "models")
    yield database
    await database.close()


@contextmanager
def noted(database: Database) -> Iterator[list[Statement]]:
    """Note what is executed meanwhile."""
    found: list[Statement] = []

    def executing(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if re.match("SELECT|UPDATE|DELETE", statement):
            found.append((statement, parameters[0] if isinstance(parameters, list) else parameters))

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", executing)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", executing)


async def whole_tables(database: Database, statements: list[Statement]) -> set[tuple[str, str]]:
    """The large tables that are read from end to end, each with the statement that does it."""
    found = set()
    async with database.read() as connection:
        for statement, parameters in statements:
            plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            for *_, step in plan.all():
                words = step.split()
                if words[0] == "SCAN" and words[1] in LARGE:
                    found.add((words[1], statement))
    return found


async def fill(stores: Stores) -> None:
    await stores.workspaces.ensure_built_in()
    for team in TEAMS:
        await stores.workspaces.create(team, None)
        for name in ("one", "two"):
            await stores.providers.create(team, ProviderCreate(name=name, host_url="https://models.example"))
            served = [ServedModel(model_entity_id=f"{team}/{of}", served_model_name=of) for of in (name, "both")]
            await stores.providers.set_status(team, name, ProviderStatusUpdate(served_models=served))


async def test_no_whole_table_for_a_page_a_change_or_a_renewed_claim(sqlite: Database) -> None:
    stores = Stores(sqlite, lambda: datetime.now(UTC).replace(tzinfo=None))
    with noted(sqlite) as statements:
        await fill(stores)
        cursor: str | None = ""
        while cursor is not None:
            page = await stores.sync.snapshot(cursor or None, 3)
            cursor = page.next
        async with sqlite.read() as connection:
            assert len(await served_by(connection, [("team-a", "one"), ("team-b", "one"), ("team-b", "both")])) == 3
    claimed = await stores.probes.claim_due(1e12, 60, 100)
    assert len(claimed) == 5
    with noted(sqlite) as renewing:
        await stores.probes.renew_claims(1e12, 60, [(due.id, due.generation) for due in claimed])
    assert await whole_tables(sqlite, statements + renewing) == set()
    pairs = f"SELECT 1 FROM {SERVED.name} WHERE (workspace, entity) IN (VALUES (?, ?), (?, ?))"
    assert await whole_tables(sqlite, [(pairs, ("a", "b", "c", "d"))]) == {(SERVED.name, pairs)}, "what is looked for"

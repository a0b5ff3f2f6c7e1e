"""Every service's database: made from nothing, brought up to date, refused where it is newer."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, text

from modelport_contracts.records import Source
from modelport_kit.database.changes import current_revision
from modelport_kit.database.engine import Database
from modelport_kit.database.migrate import prepare
from modelport_kit.settings import SettingsError
from modelport_models.app import MIGRATIONS as MODELS_MIGRATIONS
from modelport_models.tables import METADATA as MODELS_METADATA
from modelport_secrets.app import MIGRATIONS as SECRETS_MIGRATIONS
from modelport_secrets.tables import METADATA as SECRETS_METADATA
from modelport_testing.frozen import SECRET, digests, load, model_stores, releases, secret_store
from modelport_testing.postgres import PostgresServer

SERVICES: dict[Source, tuple[Path, MetaData]] = {
    "models": (MODELS_MIGRATIONS, MODELS_METADATA),
    "secrets": (SECRETS_MIGRATIONS, SECRETS_METADATA),
}


@pytest.fixture(params=sorted(SERVICES))
def source(request: pytest.FixtureRequest) -> Source:
    source: Source = request.param
    return source


async def look(url: str, source: Source) -> tuple[str, int]:
    database = Database(url, source)
    async with database.read() as connection:
        found = await current_revision(connection)
    await database.close()
    return found


async def differences(url: str, source: Source) -> Any:
    """Return what a database lacks of the tables that this release works with, or has beyond them."""

    def compare(connection: Connection) -> Any:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return compare_metadata(context, SERVICES[source][1])

    database = Database(url, source)
    async with database.engine.connect() as connection:
        found = await connection.run_sync(compare)
    await database.close()
    return found


async def test_from_nothing_and_again(database_url: str, source: Source) -> None:
    scripts, _ = SERVICES[source]
    await prepare(database_url, source, scripts, migrate_now=True)
    incarnation, revision = await look(database_url, source)
    assert (len(incarnation), revision) == (32, 0)
    await prepare(database_url, source, scripts, migrate_now=True)
    await prepare(database_url, source, scripts, migrate_now=False)
    assert await look(database_url, source) == (incarnation, 0)
    assert await differences(database_url, source) == []


@pytest.mark.parametrize("release", releases(), ids=lambda folder: folder.name)
async def test_from_a_release(
    database_url: str, database_server: PostgresServer | None, source: Source, release: Path
) -> None:
    scripts, _ = SERVICES[source]
    await asyncio.to_thread(load, release, source, database_url, database_server)
    incarnation, revision = await look(database_url, source)
    await prepare(database_url, source, scripts, migrate_now=True)
    assert await look(database_url, source) == (incarnation, revision)
    assert await differences(database_url, source) == []
    database = Database(database_url, source)
    if source == "models":
        stores = model_stores(database)
        page = await stores.sync.snapshot(None, 1000)
        found = {record.envelope.key for record in page.records}
        while page.next is not None:
            page = await stores.sync.snapshot(page.next, 1000)
            found |= {record.envelope.key for record in page.records}
        assert {"provider/team.x/full.one", "model/default/gpt-4", "virtual-model/default/gpt-*"} <= found
        assert "virtual-model/default/removed" not in found
        provider, _ = await stores.providers.get("team.x", "full.one")
        assert provider.default_extra_headers == {"x-default": "1"}
        assert (await stores.workspaces.create("of-today", None))[1] == revision + 1
    else:
        store = secret_store(database)
        assert (await store.reveal("default", "key")).value == SECRET
        assert (await store.create("default", "workspace-of-then", "other", "value", None))[1] == revision + 1
    await database.close()


@pytest.mark.parametrize("release", releases(), ids=lambda folder: folder.name)
def test_a_releases_migrations_are_as_they_were(release: Path) -> None:
    """Whoever has run them will not run them again."""
    now = {path: digest for name in SERVICES for path, digest in digests(name).items()}
    for path, digest in json.loads((release / "migrations.json").read_text()).items():
        assert now.get(path) == digest, f"{path} belongs to release {release.name}: add a migration instead"


async def test_replicas_that_migrate_at_once(postgres_url: str, source: Source) -> None:
    scripts, _ = SERVICES[source]
    await asyncio.gather(*(prepare(postgres_url, source, scripts, migrate_now=True) for _ in range(3)))
    assert (await look(postgres_url, source))[1] == 0


async def test_a_database_nobody_migrated(database_url: str, source: Source) -> None:
    with pytest.raises(SettingsError, match="run the service's `migrate` command first"):
        await prepare(database_url, source, SERVICES[source][0], migrate_now=False)


async def test_a_newer_database_is_refused(database_url: str, source: Source) -> None:
    scripts, _ = SERVICES[source]
    await prepare(database_url, source, scripts, migrate_now=True)
    database = Database(database_url, source)
    async with database.write() as write:
        await write.execute(text("UPDATE alembic_version SET version_num = 'from_tomorrow'"))
    await database.close()
    for migrate_now in (True, False):
        with pytest.raises(SettingsError, match="from_tomorrow, made by a newer release") as caught:
            await prepare(database_url, source, scripts, migrate_now=migrate_now)
        assert "\n" not in str(caught.value)


async def test_a_database_that_lost_the_note_of_its_schema(database_url: str, source: Source) -> None:
    await prepare(database_url, source, SERVICES[source][0], migrate_now=True)
    database = Database(database_url, source)
    async with database.write() as write:
        await write.execute(text("DROP TABLE alembic_version"))
    await database.close()
    with pytest.raises(SettingsError, match=r"no note of their schema \(table alembic_version\)") as caught:
        await prepare(database_url, source, SERVICES[source][0], migrate_now=True)
    assert "\n" not in str(caught.value)


async def test_each_database_is_an_incarnation_of_its_own(tmp_path: Path, source: Source) -> None:
    urls = [f"sqlite:///{tmp_path / name}.db" for name in ("one", "other")]
    for url in urls:
        await prepare(url, source, SERVICES[source][0], migrate_now=True)
    assert (await look(urls[0], source))[0] != (await look(urls[1], source))[0]


async def test_databases_that_cannot_be_opened(tmp_path: Path, postgres: PostgresServer, source: Source) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"this is no database" * 100)
    missing = postgres.url("no_such_database")
    nobody = "postgresql://modelport:hunter2@127.0.0.1:1/x"
    for url in (f"sqlite:///{damaged}", f"sqlite:///{tmp_path}/no/folder/x.db", missing, nobody):
        with pytest.raises(SettingsError, match=r"the database .*cannot be opened: ") as caught:
            await prepare(url, source, SERVICES[source][0], migrate_now=True)
        assert "\n" not in str(caught.value)
        assert "hunter2" not in str(caught.value)


@pytest.fixture
async def damaged(tmp_path: Path, source: Source) -> Path:
    """A sound file of several pages, for a test to damage."""
    file = tmp_path / "whole.db"
    await prepare(f"sqlite:///{file}", source, SERVICES[source][0], migrate_now=True)
    assert file.stat().st_size > 10 * 4096
    return file


@pytest.mark.parametrize("migrate_now", [True, False])
@pytest.mark.parametrize("size", [0, 50, 4096, 20000])
async def test_a_truncated_file_is_refused(damaged: Path, source: Source, size: int, migrate_now: bool) -> None:
    os.truncate(damaged, size)
    before = damaged.read_bytes()
    with pytest.raises(SettingsError, match="restore it from a backup, or move it away to begin anew") as caught:
        await prepare(f"sqlite:///{damaged}", source, SERVICES[source][0], migrate_now=migrate_now)
    assert str(damaged) in str(caught.value)
    assert damaged.read_bytes() == before


async def test_a_file_damaged_in_its_middle_is_refused(damaged: Path, source: Source) -> None:
    with damaged.open("r+b") as file:
        file.seek(7 * 4096)
        file.write(b"\xa5" * 4 * 4096)
    with pytest.raises(SettingsError, match=r"is damaged: .*; restore it from a backup") as caught:
        await prepare(f"sqlite:///{damaged}", source, SERVICES[source][0], migrate_now=True)
    assert "\n" not in str(caught.value)


async def test_a_file_moved_away_leaves_nothing_to_its_successor(tmp_path: Path, source: Source) -> None:
    file = tmp_path / "one.db"
    url = f"sqlite:///{file}"
    scripts = SERVICES[source][0]
    await prepare(url, source, scripts, migrate_now=True)
    database = Database(url, source)
    async with database.write() as write:
        await write.execute(text("CREATE TABLE of_before (x)"))
    wal = Path(f"{file}-wal")
    left_by_a_crash = wal.read_bytes()
    await database.close()
    file.unlink()
    wal.write_bytes(left_by_a_crash)
    await prepare(url, source, scripts, migrate_now=True)
    assert (await look(url, source))[1] == 0

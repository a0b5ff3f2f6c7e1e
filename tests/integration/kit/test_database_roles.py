"""deploy/postgres/roles.sql: a role that migrates and owns, another that serves and can only add to the audit trail."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from modelport_contracts.records import Source
from modelport_kit.audit import Event
from modelport_kit.database.audit import AuditTrail
from modelport_kit.database.engine import Database
from modelport_kit.database.migrate import prepare
from modelport_kit.lists import PageRequest
from modelport_kit.settings import SettingsError
from modelport_testing.frozen import MIGRATIONS, ROOT, load, model_stores, releases, secret_store
from modelport_testing.postgres import PostgresServer, start_postgres

PASSWORDS = ("MODELS_PASSWORD", "MODELS_OWNER_PASSWORD", "SECRETS_PASSWORD", "SECRETS_OWNER_PASSWORD")
REFUSED = (
    "UPDATE audit SET actor = 'nobody'",
    "DELETE FROM audit",
    "TRUNCATE audit",
    "ALTER TABLE audit DISABLE TRIGGER audit_append_only",
    "DROP TRIGGER audit_append_only ON audit",
    "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "ALTER TABLE audit OWNER TO CURRENT_USER",
    "DROP TABLE audit",
    "UPDATE alembic_version SET version_num = 'x'",
    "SET session_replication_role = replica",
)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL of its own: roles belong to the whole server."""
    with start_postgres() as server:
        yield server


def url_as(server: PostgresServer, role: str, database: str) -> str:
    scheme, _, rest = server.url(database).partition("://")
    return f"{scheme}://{role}:word-of-{role}@{rest.partition('@')[2]}"


def run_sql(server: PostgresServer, *arguments: str, given: Path | None = None) -> None:
    passwords = {name: f"word-of-{name.removesuffix('_PASSWORD').lower()}" for name in PASSWORDS}
    server.run("psql", "-qX", "-v", "ON_ERROR_STOP=1", *arguments, given=given, environment=passwords)


def make_roles(server: PostgresServer) -> None:
    run_sql(server, "-f", given=ROOT / "deploy/postgres/roles.sql")


@contextlib.asynccontextmanager
async def prepared(server: PostgresServer, source: Source) -> AsyncIterator[Database]:
    owner = url_as(server, f"{source}_owner", source)
    await prepare(owner, source, MIGRATIONS[source], migrate_now=True, serving_role=source)
    serving = url_as(server, source, source)
    await prepare(serving, source, MIGRATIONS[source], migrate_now=False)
    database = Database(serving, source)
    try:
        yield database
    finally:
        await database.close()


async def check_refusals(database: Database) -> None:
    for statement in REFUSED:
        async with database.engine.connect() as connection:
            with pytest.raises(DBAPIError, match=r"permission denied|must be owner") as caught:
                await connection.execute(text(statement))
            assert "append-only" not in str(caught.value), "the role lacks the right, whatever triggers say"
            await connection.rollback()


async def test_a_database_of_before_gets_an_owner(server: PostgresServer) -> None:
    run_sql(server, "-c", "CREATE ROLE models LOGIN", "-c", "CREATE DATABASE models OWNER models")
    await asyncio.to_thread(load, releases()[0], "models", url_as(server, "models", "models"), server)
    await asyncio.to_thread(make_roles, server)
    await asyncio.to_thread(make_roles, server)
    async with prepared(server, "models") as database:
        stores = model_stores(database)
        await stores.workspaces.create("team", None)
        await stores.workspaces.delete("team")
        events, _ = await AuditTrail(database).list(PageRequest(sort="created_at"))
        assert [(one.action, one.name) for one in events] == [("create", "team"), ("delete", "team")]
        await check_refusals(database)


async def test_a_new_database(server: PostgresServer) -> None:
    await asyncio.to_thread(make_roles, server)
    async with prepared(server, "secrets") as database:
        store = secret_store(database)
        await store.create("team", "w1", "key", "value", None)
        assert (await store.reveal("team", "key")).value == "value"
        await AuditTrail(database).tell(Event("reveal", "secret", "team", "key"))
        assert (await AuditTrail(database).list(PageRequest()))[1].total_results == 2
        await check_refusals(database)


async def test_a_role_that_is_not_there(server: PostgresServer) -> None:
    await asyncio.to_thread(make_roles, server)
    owner = url_as(server, "secrets_owner", "secrets")
    with pytest.raises(SettingsError, match="MODELPORT_DATABASE_ROLE: the database server has no role 'nobody'"):
        await prepare(owner, "secrets", MIGRATIONS["secrets"], migrate_now=True, serving_role="nobody")

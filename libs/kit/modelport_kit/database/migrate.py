"""Bringing a service's database to the schema of this release, with Alembic."""

import contextlib
import secrets
import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, inspect, select, text
from sqlalchemy.exc import DBAPIError

from modelport_contracts.records import Source
from modelport_kit.database.engine import Database
from modelport_kit.database.tables import REVISION
from modelport_kit.settings import SettingsError

_ADVISORY_LOCK = 0x6D6F64656C  # any fixed number; replicas that migrate at once queue on it
_RESTORE = "restore it from a backup, or move it away to begin anew"
_SEE_TO_IT = "see to its disk, its folder and their permissions"


class _UnmarkedError(Exception):
    """There are tables, and nothing says which schema they are of."""

    def __init__(self, tables: list[str]) -> None:
        super().__init__(f"is damaged: it has {len(tables)} tables and no note of their schema (table alembic_version)")


async def prepare(
    url: str, source: Source, scripts: Path, *, migrate_now: bool, serving_role: str | None = None
) -> None:
    """Migrate a service's database, or check that someone did. Raises SettingsError.

    `serving_role` is PostgreSQL's role that the service runs as, where it is another one than migrates.
    """
    database = Database(url, source)
    try:
        if database.is_sqlite:
            _ensure_file(database)
            await _check_file(database)
        if migrate_now:
            await migrate(database, scripts, serving_role)
        else:
            await check_schema(database, scripts)
    except _UnmarkedError as error:
        raise _unusable(database, str(error), _RESTORE) from None
    except (DBAPIError, sqlite3.Error, OSError) as error:
        cause = getattr(error, "orig", None) or error
        reason = str(cause).splitlines()[0]
        # What SQLite calls operational is not the file's own damage.
        advice = _SEE_TO_IT if isinstance(cause, sqlite3.OperationalError | OSError) else _RESTORE
        raise _unusable(database, f"cannot be opened: {reason}", advice) from None
    finally:
        await database.close()


def _unusable(database: Database, why: str, advice: str) -> SettingsError:
    if not database.is_sqlite:
        return SettingsError(f"the database {why}; see to the server and to MODELPORT_DATABASE_URL")
    return SettingsError(f"the database {database.engine.url.database} {why}; {advice}")


def _ensure_file(database: Database) -> None:
    """Make SQLite's file where there is none. Raises SettingsError for an empty one.

    SQLite takes a file without bytes for a new database. One that is made in one step never is without, so that such
    a file has lost what was in it.
    """
    file = Path(str(database.engine.url.database))
    if not file.exists():
        _make_file(file)
    elif file.stat().st_size == 0:
        raise _unusable(database, "is damaged: it is empty", _RESTORE)


async def _check_file(database: Database) -> None:
    """See that the file's structure is whole; a second for about a gigabyte. Raises SettingsError."""
    async with database.engine.connect() as connection:
        found = str((await connection.exec_driver_sql("PRAGMA quick_check(1)")).scalar())
    if found != "ok":
        reason = " ".join(found.removeprefix("*** in database main ***").split())
        raise _unusable(database, f"is damaged: {reason}", _RESTORE)


def _make_file(file: Path) -> None:
    # What SQLite kept beside a file that was moved away is not to be played into its successor.
    for suffix in ("-wal", "-shm", "-journal"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(fresh)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    fresh.replace(file)


async def migrate(database: Database, scripts: Path, serving_role: str | None = None) -> None:
    """Migrate to the newest schema, make the counter's row, let another role work with it.

    Raises SettingsError for a newer database, and for a role that is not there.
    """
    async with database.engine.connect() as connection:
        await connection.execution_options(modelport_write=True)
        async with connection.begin():
            await connection.run_sync(_migrate, scripts, database.is_sqlite)
            if serving_role and not database.is_sqlite:
                await connection.run_sync(_grant, serving_role)


async def check_schema(database: Database, scripts: Path) -> None:
    """Refuse a database that is not at this release's schema. Raises SettingsError."""
    async with database.engine.connect() as connection:
        found = await connection.run_sync(_found)
    directory = ScriptDirectory(str(scripts))
    if found != directory.get_current_head():
        raise SettingsError(_mismatch(found, directory))


def _found(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _mismatch(found: str | None, directory: ScriptDirectory) -> str:
    known = {script.revision for script in directory.walk_revisions()}
    if found is not None and found not in known:
        return f"the database has schema {found}, made by a newer release of Modelport; start that release instead"
    return "the database's schema is not up to date; run the service's `migrate` command first"


def _migrate(connection: Connection, scripts: Path, is_sqlite: bool) -> None:
    if not is_sqlite:
        connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _ADVISORY_LOCK})
    directory = ScriptDirectory(str(scripts))
    found = _found(connection)
    if found is not None and found not in {script.revision for script in directory.walk_revisions()}:
        raise SettingsError(_mismatch(found, directory))
    if found is None and (tables := inspect(connection).get_table_names()):
        raise _UnmarkedError(tables)
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    if connection.execute(select(REVISION.c.id)).first() is None:
        connection.execute(insert(REVISION).values(id=1, n=0, incarnation=secrets.token_hex(16), pruned_through=0))


def _grant(connection: Connection, role: str) -> None:
    """Let a role that owns nothing work with the tables; to the audit trail it can only add."""
    if connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}).first() is None:
        raise SettingsError(f"MODELPORT_DATABASE_ROLE: the database server has no role {role!r}; make it first")
    quoted = connection.dialect.identifier_preparer.quote_identifier(role)
    for statement in (
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {quoted}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {quoted}",
        f"REVOKE UPDATE, DELETE, TRUNCATE ON audit FROM {quoted}",
        f"REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {quoted}",
    ):
        connection.exec_driver_sql(statement)

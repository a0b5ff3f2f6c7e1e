"""Bringing a service's database to the schema of this release, with Alembic."""

import secrets
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import DBAPIError

from modelport_contracts.records import Source
from modelport_kit.database.engine import Database
from modelport_kit.database.tables import REVISION
from modelport_kit.settings import SettingsError

_ADVISORY_LOCK = 0x6D6F64656C  # any fixed number; replicas that migrate at once queue on it


async def prepare(url: str, source: Source, scripts: Path, *, migrate_now: bool) -> None:
    """Migrate a service's database, or check that someone did. Raises SettingsError."""
    database = Database(url, source)
    try:
        await (migrate if migrate_now else check_schema)(database, scripts)
    except (DBAPIError, OSError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise SettingsError(f"{_which(database)} cannot be opened: {reason}") from None
    finally:
        await database.close()


def _which(database: Database) -> str:
    """Name the database in an error: a file that a backup can be restored over, or the server's."""
    if not database.is_sqlite:
        return "the database"
    return f"the database {database.engine.url.database} (restore it from a backup, or move it away to begin anew)"


async def migrate(database: Database, scripts: Path) -> None:
    """Migrate to the newest schema and make the counter's row. Raises SettingsError for a newer database."""
    async with database.engine.connect() as connection:
        await connection.execution_options(modelport_write=True)
        async with connection.begin():
            await connection.run_sync(_migrate, scripts, database.is_sqlite)


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
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    if connection.execute(select(REVISION.c.id)).first() is None:
        connection.execute(insert(REVISION).values(id=1, n=0, incarnation=secrets.token_hex(16), pruned_through=0))

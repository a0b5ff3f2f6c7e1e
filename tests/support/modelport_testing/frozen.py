"""Databases as a release made them, with a little of everything in them: `tests/schemas/<release>/`.

`tools/freeze_schema.py` writes them when a release is made; the tests migrate each to today's schema.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from modelport_contracts.records import Source
from modelport_contracts.resources.models import ModelCreate
from modelport_contracts.resources.providers import ProviderCreate, ProviderStatusUpdate, ServedModel
from modelport_contracts.resources.virtual_models import VirtualModelCreate
from modelport_kit.database.engine import Database
from modelport_kit.database.migrate import prepare
from modelport_models.app import MIGRATIONS as MODELS_MIGRATIONS
from modelport_models.store import Stores
from modelport_secrets.app import MIGRATIONS as SECRETS_MIGRATIONS
from modelport_secrets.keyring import Keyring
from modelport_secrets.local_key import keys_from_environment
from modelport_secrets.store import SecretStore
from modelport_testing.postgres import PostgresServer

ROOT = Path(__file__).resolve().parents[3]
SCHEMAS = ROOT / "tests/schemas"
MIGRATIONS: dict[Source, Path] = {"models": MODELS_MIGRATIONS, "secrets": SECRETS_MIGRATIONS}
KEK = base64.b64encode(bytes(range(32))).decode()
"""Of the frozen secrets; it guards nothing."""
SECRET = "the value of a frozen secret"


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def secret_store(database: Database) -> SecretStore:
    """Open the store of the frozen secrets."""
    return SecretStore(database, Keyring(keys_from_environment(KEK)), _now)


def model_stores(database: Database) -> Stores:
    """Open the stores of the models service."""
    return Stores(database, _now)


async def _fill_models(database: Database) -> None:
    stores = model_stores(database)
    await stores.workspaces.ensure_built_in()
    await stores.workspaces.create("team.x", "with a dot in its name")
    full = {
        "name": "full.one",
        "host_url": "https://models.example/v1",
        "api_key_secret_name": "key",
        "description": "with all that a provider may have",
        "default_extra_headers": {"x-default": "1"},
        "required_extra_body": {"seed": 7},
        "enabled_models": ["gpt-*"],
        "options": {"max_concurrency": 7},
    }
    await stores.providers.create("team.x", ProviderCreate.model_validate(full))
    bare = {"name": "bare", "host_url": "https://other.example"}
    await stores.providers.create("default", ProviderCreate.model_validate(bare))
    served = [ServedModel(model_entity_id="default/gpt-4", served_model_name="gpt-4")]
    await stores.providers.set_status("default", "bare", ProviderStatusUpdate(served_models=served))
    await stores.models.create("default", ModelCreate(name="mine"))
    await stores.virtual_models.create("default", VirtualModelCreate(name="gpt-*"))
    await stores.virtual_models.create("default", VirtualModelCreate(name="removed"))
    await stores.virtual_models.delete("default", "removed")


async def _fill_secrets(database: Database) -> None:
    store = secret_store(database)
    await store.set_built_in("the built-in secret's value")
    await store.create("default", "workspace-of-then", "key", "a first value", "described")
    await store.update("default", "workspace-of-then", "key", SECRET, None, set_description=False)


async def fill(url: str, source: Source) -> None:
    """Make a service's database at `url` and put a little of everything into it."""
    await prepare(url, source, MIGRATIONS[source], migrate_now=True)
    database = Database(url, source)
    if source == "models":
        await _fill_models(database)
    else:
        await _fill_secrets(database)
    await database.close()


def digests(source: Source) -> dict[str, str]:
    """Return the digest of each migration by its path."""
    files = sorted((MIGRATIONS[source] / "versions").glob("*.py"))
    return {str(file.relative_to(ROOT)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def freeze(release: str, postgres: PostgresServer, folder: Path) -> Path:
    """Write today's databases as those of a release; `folder` is for what is in between."""
    target = SCHEMAS / release
    target.mkdir(parents=True)
    for source in MIGRATIONS:
        file = folder / f"{source}.db"
        asyncio.run(fill(f"sqlite:///{file}", source))
        with contextlib.closing(sqlite3.connect(file)) as connection:
            (target / f"{source}.sqlite.sql").write_text("\n".join(connection.iterdump()) + "\n")
        name = postgres.create_database(source)
        asyncio.run(fill(postgres.url(name), source))
        dump = postgres.run("pg_dump", "--inserts", "--no-owner", "--no-comments", url=postgres.url(name))
        (target / f"{source}.postgresql.sql").write_bytes(dump)
        postgres.drop_database(name)
    known = {path: digest for source in MIGRATIONS for path, digest in digests(source).items()}
    (target / "migrations.json").write_text(json.dumps(known, indent=2) + "\n")
    return target


def releases() -> list[Path]:
    """Return the folders of all frozen releases."""
    return sorted(folder for folder in SCHEMAS.iterdir() if folder.is_dir())


def load(release: Path, source: Source, url: str, postgres: PostgresServer | None) -> None:
    """Make the database of a release at `url`, where there is none yet: SQLite's, or one of `postgres`."""
    if postgres is not None:
        options = ("-X", "-q", "-v", "ON_ERROR_STOP=1")
        file = release / f"{source}.postgresql.sql"
        postgres.run("psql", *options, "-f", url=url, given=file)
        return
    script = (release / f"{source}.sqlite.sql").read_text()
    with contextlib.closing(sqlite3.connect(url.partition("///")[2])) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(script)

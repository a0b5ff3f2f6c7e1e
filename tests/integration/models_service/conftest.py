"""The stores on a database of their own, and the running services."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest

from modelport_kit.database.engine import Database
from modelport_kit.database.migrate import prepare
from modelport_models.app import MIGRATIONS
from modelport_models.store import Stores
from modelport_testing.services import Services, make_workspace, start_services
from modelport_testing.shared import Shared


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


@pytest.fixture
async def open_stores(database_url: str) -> AsyncIterator[Callable[[], tuple[Stores, Database]]]:
    """Opens the stores on the test's database; each call makes another pool, as another replica would have."""
    async with _opener(database_url) as opened:
        yield opened


@pytest.fixture
async def open_postgres_stores(postgres_url: str) -> AsyncIterator[Callable[[], tuple[Stores, Database]]]:
    """The same, for what only PostgreSQL does: several writers at once."""
    async with _opener(postgres_url) as opened:
        yield opened


@asynccontextmanager
async def _opener(database_url: str) -> AsyncIterator[Callable[[], tuple[Stores, Database]]]:
    await prepare(database_url, "models", MIGRATIONS, migrate_now=True)
    async with AsyncExitStack() as stack:

        def opened() -> tuple[Stores, Database]:
            database = Database(database_url, "models")
            stack.push_async_callback(database.close)
            return Stores(database, _now), database

        await opened()[0].workspaces.ensure_built_in()
        yield opened


@pytest.fixture
def stores(open_stores: Callable[[], tuple[Stores, Database]]) -> Stores:
    return open_stores()[0]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def services(request: pytest.FixtureRequest, shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Services:
    """Both services, shared by tests that use workspaces of their own."""
    postgres = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    return shared.get(request.param, lambda: start_services(tmp_path_factory.mktemp("services"), postgres))


@pytest.fixture
def models(services: Services) -> httpx.Client:
    """A client of the models service with the front door's token."""
    return services.client("models")


@pytest.fixture
def secrets(services: Services) -> httpx.Client:
    """A client of the secrets service with the front door's token."""
    return services.client("secrets")


@pytest.fixture
def workspace(models: httpx.Client) -> str:
    """The name of a workspace of the test's own."""
    return make_workspace(models)

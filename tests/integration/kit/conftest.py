"""A database of a few things."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from modelport_kit.database.engine import Database
from modelport_testing.things import create_tables


@pytest.fixture
async def open_database(database_url: str) -> AsyncIterator[Callable[[], Database]]:
    """Opens the test's database; each call makes another pool, as another process would have."""
    first = Database(database_url, "models")
    await create_tables(first)
    await first.close()
    async with AsyncExitStack() as stack:

        def opened() -> Database:
            database = Database(database_url, "models")
            stack.push_async_callback(database.close)
            return database

        yield opened


@pytest.fixture
def database(open_database: Callable[[], Database]) -> Database:
    return open_database()

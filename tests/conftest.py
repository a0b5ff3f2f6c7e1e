"""Fixtures that every kind of test shares: the real servers."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from modelport_testing.canaries import hunt
from modelport_testing.postgres import PostgresServer, start_postgres
from modelport_testing.servers import NatsServer, ValkeyServer, start_nats, start_valkey
from modelport_testing.shared import Shared
from modelport_testing.stack import LocalStack, local_stack

# A shell that starts `make test` in the background has it ignore Ctrl-C, and all that it starts inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["modelport_testing.canary_plugin"]

_SHARED = Shared()
_SESSION = ExitStack()
"""What the session's tests share, ended after what folders shared, which stands on it."""


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A NATS server with JetStream, its own for this test."""
    with start_nats(tmp_path / "nats") as server:
        yield server


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A Valkey of this test's own."""
    with start_valkey(tmp_path / "valkey") as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> PostgresServer:
    """The session's PostgreSQL."""
    return _SESSION.enter_context(start_postgres())


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL (postgresql+asyncpg) of an empty PostgreSQL database of this test's own."""
    name = postgres.create_database(f"test_{os.getpid()}")
    yield postgres.url(name).replace("postgresql://", "postgresql+asyncpg://")
    postgres.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_server(request: pytest.FixtureRequest) -> PostgresServer | None:
    """The PostgreSQL to use, or None for SQLite: the test runs once on each."""
    return request.getfixturevalue("postgres") if request.param == "postgresql" else None


@pytest.fixture
def database_url(
    request: pytest.FixtureRequest, database_server: PostgresServer | None, tmp_path: Path
) -> Iterator[str]:
    """The URL of an empty database of this test's own, on `database_server`."""
    if database_server is None:
        yield f"sqlite+aiosqlite:///{tmp_path / 'database.db'}"
        for path in tmp_path.glob("database.db*"):
            hunt().files(path)
    else:
        yield str(request.getfixturevalue("postgres_url"))


@pytest.fixture(scope="session")
def shared() -> Shared:
    """What the tests of a folder share."""
    return _SHARED


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End what a folder's tests have shared after the last of them; pytest has ended the modules' own by now."""
    if nextitem is None or nextitem.path.parent != item.path.parent:
        _SHARED.end()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """End the rest when all fixtures have ended."""
    _SHARED.end()
    _SESSION.close()


@pytest.fixture(scope="module")
def shared_stack(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> LocalStack:
    """The whole platform with two gateways, shared by tests that use workspaces of their own and break nothing."""
    return shared.get("stack", lambda: _stack_with_rights(tmp_path_factory.mktemp("stack")))


@contextmanager
def _stack_with_rights(folder: Path) -> Iterator[LocalStack]:
    with local_stack(folder, gateways=2) as stack:
        yield stack
        # Rights on NATS or Valkey that are too narrow would else show as delays and repairs only.
        lines = [line for part in stack.pids for line in stack.log(part).splitlines()]
        refused = [line for line in lines if "does not let this service's user" in line or "no permissions to" in line]
        assert not refused, refused[0]


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[LocalStack]:
    """The whole platform, this test's own to break."""
    with local_stack(tmp_path / "stack") as stack:
        yield stack

"""The running services."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from modelport_testing.services import Services, make_workspace, start_services
from modelport_testing.shared import Shared


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def services(request: pytest.FixtureRequest, shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Services:
    """Both services, shared by tests that use workspaces of their own."""
    postgres = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    return shared.get(request.param, lambda: start_services(tmp_path_factory.mktemp("services"), postgres))


@pytest.fixture
def own_services(tmp_path: Path) -> Iterator[Services]:
    """Both services, this test's own to break."""
    with start_services(tmp_path / "services") as services:
        yield services


@pytest.fixture
def secrets(services: Services) -> httpx.Client:
    """A client of the secrets service with the front door's token."""
    return services.client("secrets")


@pytest.fixture
def workspace(services: Services) -> str:
    """The name of a workspace of the test's own."""
    return make_workspace(services.client("models"))

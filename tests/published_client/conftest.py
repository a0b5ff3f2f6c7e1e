"""The published client, nemo-platform from PyPI, in an environment of its own, against the whole platform."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelport_testing.journeys import own_workspace, simulated_providers
from modelport_testing.providers import Style
from modelport_testing.published_client import PublishedClient
from modelport_testing.stack import LocalStack
from modelport_testing.upstreams import Upstream


@pytest.fixture(scope="session")
def programs() -> Path:
    folder = os.environ.get("MODELPORT_PUBLISHED_CLIENT")
    assert folder, "MODELPORT_PUBLISHED_CLIENT is not set: run these tests with `make test-published-client`"
    return Path(folder) / "bin"


@pytest.fixture
def upstreams() -> Iterator[dict[Style, Upstream]]:
    with simulated_providers() as running:
        yield running


@pytest.fixture
def base_url(shared_stack: LocalStack) -> str:
    return shared_stack.base_url


@pytest.fixture
def workspace(base_url: str, upstreams: dict[Style, Upstream]) -> Iterator[str]:
    with own_workspace(base_url) as name:
        yield name


@pytest.fixture
def published(
    tmp_path: Path, base_url: str, workspace: str, programs: Path, upstreams: dict[Style, Upstream]
) -> PublishedClient:
    """The client, which finds platform, workspace and providers in its environment."""
    environment = {f"{style.upper()}_HOST": upstream.host_url for style, upstream in upstreams.items()}
    environment |= {f"{style.upper()}_API_KEY": str(upstream.key) for style, upstream in upstreams.items()}
    return PublishedClient(tmp_path / "home", base_url, workspace=workspace, programs=programs, environment=environment)

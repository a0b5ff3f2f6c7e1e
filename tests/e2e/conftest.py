"""The running platform, a workspace of the test's own on it, simulated providers, and a user's terminal."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelport import Modelport
from modelport_testing.canaries import Kind, canary
from modelport_testing.journeys import own_workspace, simulated_providers
from modelport_testing.providers import Style
from modelport_testing.stack import LocalStack
from modelport_testing.terminal import Terminal
from modelport_testing.upstreams import Upstream


@pytest.fixture
def upstreams() -> Iterator[dict[Style, Upstream]]:
    with simulated_providers() as running:
        yield running


@pytest.fixture
def openai_upstream(upstreams: dict[Style, Upstream]) -> Upstream:
    return upstreams[Style.OPENAI]


@pytest.fixture
def anthropic_upstream(upstreams: dict[Style, Upstream]) -> Upstream:
    return upstreams[Style.ANTHROPIC]


@pytest.fixture
def base_url(shared_stack: LocalStack) -> str:
    return shared_stack.base_url


@pytest.fixture
def workspace(base_url: str, upstreams: dict[Style, Upstream]) -> Iterator[str]:
    """A workspace of this test's own; it goes before the providers it may name do."""
    with own_workspace(base_url) as name:
        yield name


@pytest.fixture
def client(base_url: str, workspace: str) -> Iterator[Modelport]:
    with Modelport(base_url, workspace, api_key=canary(Kind.CLIENT)) as client:
        yield client


@pytest.fixture
def terminal(tmp_path: Path, base_url: str, workspace: str) -> Terminal:
    return Terminal(
        tmp_path / "home", base_url, workspace=workspace, environment={"NMP_ACCESS_TOKEN": canary(Kind.CLIENT)}
    )

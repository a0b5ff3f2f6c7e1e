"""The compose stack, brought up once for all tests of this folder."""

from collections.abc import Iterator

import pytest

from modelport_testing.compose import ComposeStack, host_seen_from_containers, require_engine
from modelport_testing.providers import Style
from modelport_testing.upstreams import Upstream, start_upstream


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    """A running stack made from this checkout."""
    require_engine()
    stack = ComposeStack(tmp_path_factory.mktemp("stack"))
    try:
        stack.up()
        yield stack
    finally:
        stack.remove()


@pytest.fixture(scope="session")
def nvidia(stack: ComposeStack) -> Iterator[Upstream]:
    """A simulated NVIDIA Build that the stack's containers reach."""
    with start_upstream(Style.NVIDIA, key="nvapi-test", host=host_seen_from_containers()) as upstream:
        yield upstream


@pytest.fixture(scope="session")
def openai(stack: ComposeStack) -> Iterator[Upstream]:
    """A simulated OpenAI that the stack's containers reach."""
    with start_upstream(Style.OPENAI, key="sk-test", host=host_seen_from_containers()) as upstream:
        yield upstream


@pytest.fixture(scope="session")
def anthropic(stack: ComposeStack) -> Iterator[Upstream]:
    """A simulated Anthropic that the stack's containers reach."""
    with start_upstream(Style.ANTHROPIC, key="sk-ant-test", host=host_seen_from_containers()) as upstream:
        yield upstream

"""A gateway between raw bytes on both sides, shared by the tests of a module; the provider's side is recorded."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from modelport_testing.gateway_harness import Gateway, MemoryTable
from modelport_testing.registered import add_model, add_provider, add_virtual_model
from modelport_testing.scripted_upstream import ScriptedUpstream, answer_ok


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(records=True) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(shared_upstream: ScriptedUpstream) -> AsyncIterator[Gateway]:
    table = MemoryTable()
    add_provider(table, shared_upstream.url, "openai")
    add_model(table, "gpt-4", ("openai", "served/gpt-4"))
    add_virtual_model(table, "gpt-4", "default/gpt-4")
    async with Gateway(table) as running:
        yield running


@pytest.fixture
def upstream(shared_upstream: ScriptedUpstream) -> Iterator[ScriptedUpstream]:
    """The provider, without memory of other tests."""
    shared_upstream.script, shared_upstream.on_head = answer_ok, None
    shared_upstream.requests.clear()
    shared_upstream.forget_recordings()
    yield shared_upstream
    assert not shared_upstream.errors

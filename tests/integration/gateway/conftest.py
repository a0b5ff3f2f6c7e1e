"""A gateway in front of one scripted provider."""

from collections.abc import AsyncIterator

import pytest

from modelport_contracts.records import ProviderRecord
from modelport_gateway.send import cork
from modelport_testing.gateway_harness import Gateway, MemoryTable
from modelport_testing.scripted_upstream import ScriptedUpstream


@pytest.fixture(autouse=True)
def corked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes wait for the end of the turn, as they do under load: the way on which more can go wrong.

    With few requests under way, as in most end-to-end tests, they leave at once.
    """
    monkeypatch.setattr(cork, "FEW", -1)


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as running:
        yield running


@pytest.fixture
def table(upstream: ScriptedUpstream) -> MemoryTable:
    table = MemoryTable()
    record = ProviderRecord(
        id="model-provider-1",
        workspace="default",
        name="openai",
        host_url=f"{upstream.url}/v1",
        status="READY",
        generation=1,
    )
    table.put("provider/default/openai", record.payload())
    return table


@pytest.fixture
async def gateway(table: MemoryTable) -> AsyncIterator[Gateway]:
    async with Gateway(table) as running:
        yield running

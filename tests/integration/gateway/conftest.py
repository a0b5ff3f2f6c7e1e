"""A gateway in front of one scripted provider."""

from collections.abc import AsyncIterator

import pytest

from modelport_contracts.records import ProviderRecord
from modelport_testing.gateway_harness import Gateway, MemoryTable
from modelport_testing.scripted_upstream import ScriptedUpstream


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

"""A Valkey for each test, a writer, a near cache, and the changes to write."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from modelport_routing import NearCache, RouteWriter
from modelport_testing.servers import ValkeyServer, start_valkey


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    with start_valkey(tmp_path) as server:
        yield server


@pytest.fixture
async def redis(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    """What an operator's hand can do to the server."""
    async with Redis.from_url(valkey.url, protocol=2, decode_responses=True) as client:
        yield client


@pytest.fixture
async def writer(valkey: ValkeyServer) -> AsyncIterator[RouteWriter]:
    async with RouteWriter(valkey.url) as running:
        yield running


@pytest.fixture
async def cache(valkey: ValkeyServer) -> AsyncIterator[NearCache]:
    async with NearCache(valkey.url) as running:
        await running.wait_connected()
        yield running

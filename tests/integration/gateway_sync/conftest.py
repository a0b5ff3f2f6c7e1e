"""Two sources, NATS, Valkey, and gateways' route syncs between them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from modelport_bus import Bus
from modelport_contracts.records import SOURCES, Source
from modelport_gateway.sync import RouteSync, SourceClient
from modelport_routing import NearCache, RouteWriter
from modelport_testing.servers import NatsServer, ValkeyServer, start_nats, start_valkey
from modelport_testing.sources import RecordSource, publishing, serving
from modelport_testing.syncing import Gateway, Sources, StartGateway


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    with start_valkey(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    with start_nats(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def redis(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey.url, protocol=2, decode_responses=True) as client:
        yield client


@pytest.fixture
async def sources(tmp_path: Path) -> AsyncIterator[Sources]:
    async with contextlib.AsyncExitStack() as stack:
        made: dict[Source, RecordSource] = {}
        clients: dict[Source, httpx.AsyncClient] = {}
        for name in SOURCES:
            made[name] = source = RecordSource(name, tmp_path)
            stack.push_async_callback(source.database.close)
            await source.create()
            clients[name] = await stack.enter_async_context(serving(source))
        yield Sources(made["models"], made["secrets"], clients)


@pytest.fixture
async def published(sources: Sources, nats_server: NatsServer) -> AsyncIterator[Sources]:
    """The sources, publishing what they commit."""
    async with contextlib.AsyncExitStack() as stack:
        for source in (sources.models, sources.secrets):
            bus = await stack.enter_async_context(Bus(nats_server.url, name=source.source))
            await bus.wait_connected()
            await stack.enter_async_context(publishing(source, bus))
        yield sources


@pytest.fixture
def start_gateway(valkey: ValkeyServer, nats_server: NatsServer, sources: Sources) -> StartGateway:
    @contextlib.asynccontextmanager
    async def start() -> AsyncIterator[Gateway]:
        async with (
            Bus(nats_server.url, name="gateway") as bus,
            RouteWriter(valkey.url) as writer,
        ):
            cache = NearCache(valkey.url)
            clients = [SourceClient(name, http, page=10) for name, http in sources.clients.items()]
            sync = RouteSync(bus, writer, cache, clients)
            async with cache:
                tasks = [asyncio.create_task(loop()) for loop in (sync.run_consumer, sync.run_reconciler)]
                try:
                    yield Gateway(sync, cache, writer, bus)
                finally:
                    for task in tasks:
                        assert not task.done(), "the loops run for ever"
                        task.cancel()
                    _, deaf = await asyncio.wait(tasks, timeout=5)
                    assert not deaf, "a cancelled loop ends"

    return start

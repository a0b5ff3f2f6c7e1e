"""The data plane on the real routing table: Valkey, the writer, the near cache."""

import json
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from modelport_contracts.records import (
    Change,
    Envelope,
    IndexEntry,
    ModelRecord,
    ProviderRecord,
    ServedBy,
    VirtualModelRecord,
    listing_index,
)
from modelport_routing import NearCache, Outcome, RouteWriter
from modelport_testing.gateway_harness import BASE, Gateway
from modelport_testing.polling import eventually
from modelport_testing.raw_client import RawClient, RawResponse, build_request
from modelport_testing.scripted_upstream import ScriptedUpstream
from modelport_testing.servers import ValkeyServer
from modelport_testing.tables import delete, open_table

KEY = "provider/default/openai"
GET = build_request("GET", f"{BASE}/provider/openai/-/x")


@pytest.fixture
async def writer(valkey: ValkeyServer) -> AsyncIterator[RouteWriter]:
    writer = RouteWriter(valkey.url)
    await open_table(writer)
    yield writer
    await writer.close()


@pytest.fixture(params=["near cache", "literal"])
async def gateway(valkey: ValkeyServer, writer: RouteWriter, request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    async def near_cache() -> NearCache:
        cache = NearCache(valkey.url, literal=request.param == "literal")
        await cache.start()
        return cache

    async with Gateway(near_cache) as running:
        yield running


def put(upstream: ScriptedUpstream, revision: int) -> Change:
    record = ProviderRecord(
        id="p", workspace="default", name="openai", host_url=f"{upstream.url}/v{revision}", status="READY", generation=1
    )
    envelope = Envelope(key=KEY, source="models", incarnation="one", revision=revision, operation="put")
    return Change(envelope=envelope, payload=record.payload())


async def ask(client: RawClient, request: bytes = GET) -> RawResponse:
    await client.send(request)
    return await client.read_response()


async def test_a_change_is_seen_and_a_removal_too(
    gateway: Gateway, writer: RouteWriter, upstream: ScriptedUpstream
) -> None:
    async with await RawClient.connect(gateway.url) as client:
        assert (await ask(client)).status == 404
        for revision in (1, 2, 3):
            assert await writer.apply(put(upstream, revision)) is Outcome.APPLIED

            async def arrived(wanted: str = f"/v{revision}/x") -> bool:
                response = await ask(client)
                return response.status == 200 and upstream.last.target == wanted.encode()

            await eventually(arrived)
        assert await writer.apply(delete(KEY, 4)) is Outcome.APPLIED

        async def gone() -> bool:
            return (await ask(client)).status == 404

        await eventually(gone)


async def test_known_routes_outlive_redis_and_unknown_ones_are_503(
    gateway: Gateway, writer: RouteWriter, upstream: ScriptedUpstream, valkey: ValkeyServer
) -> None:
    await writer.apply(put(upstream, 1))
    async with await RawClient.connect(gateway.url) as client:
        assert (await ask(client)).status == 200
        valkey.kill()
        for _ in range(3):
            assert (await ask(client)).status == 200
        unknown = await ask(client, build_request("GET", f"{BASE}/provider/unknown/-/x"))
        assert unknown.status == 503
        assert json.loads(unknown.body)["error"]["code"] == "table_away"
        assert unknown.value("retry-after") == b"1"


async def test_a_listing_reads_many_records_at_once(
    gateway: Gateway, writer: RouteWriter, valkey: ValkeyServer
) -> None:
    for number in range(150):
        record = VirtualModelRecord(
            workspace="default", name=f"m{number}", created=1, default_model_entity="default/entity", models=()
        )
        envelope = Envelope(
            key=f"virtual-model/default/m{number}",
            source="models",
            incarnation="one",
            revision=number + 1,
            operation="put",
            index=(IndexEntry(index=listing_index("default"), field=f"m{number}", value="1"),),
        )
        assert await writer.apply(Change(envelope=envelope, payload=record.payload())) is Outcome.APPLIED
    model = ModelRecord(
        workspace="default", name="entity", served_by=(ServedBy(provider="default/openai", served_id="x"),)
    )
    envelope = Envelope(key="model/default/entity", source="models", incarnation="one", revision=151, operation="put")
    assert await writer.apply(Change(envelope=envelope, payload=model.payload())) is Outcome.APPLIED
    listing = build_request("GET", f"{BASE}/openai/-/v1/models")
    async with Redis.from_url(valkey.url, protocol=2, decode_responses=True) as redis:
        before = (await redis.info("commandstats"))["cmdstat_mget"]["calls"]
        async with await RawClient.connect(gateway.url) as client:
            first = await ask(client, listing)
            assert len(json.loads(first.body)["data"]) == 150
            assert (await ask(client, listing)).body == first.body
        calls = (await redis.info("commandstats"))["cmdstat_mget"]["calls"] - before
    assert calls <= 12, "two batches of two readings each, twice where nothing is kept"


async def test_the_asked_revision_is_read_from_redis(
    gateway: Gateway, writer: RouteWriter, upstream: ScriptedUpstream
) -> None:
    await writer.apply(put(upstream, 5))
    async with await RawClient.connect(gateway.url) as client:
        for revision, status in (("models.5", 200), ("models.6", 503)):
            request = build_request("GET", f"{BASE}/provider/openai/-/x", f"x-modelport-min-revision: {revision}")
            assert (await ask(client, request)).status == status
        await writer.apply(put(upstream, 6))
        assert (await ask(client, request)).status == 200

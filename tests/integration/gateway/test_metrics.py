"""What a gateway's metrics say after requests of which everything is known."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from modelport_contracts.records import ModelRecord, ProviderRecord, RecordedOptions, ServedBy, VirtualModelRecord
from modelport_gateway.account.access_log import AccessLog
from modelport_gateway.account.exposition import DataPlaneFamilies
from modelport_testing.gateway_harness import BASE, Gateway, MemoryTable
from modelport_testing.metrics import Scrape, scrape, served
from modelport_testing.polling import eventually
from modelport_testing.raw_client import RawClient, build_json, build_request, exchange
from modelport_testing.scripted_upstream import OK, Answering, RawRequest, ScriptedUpstream, reply_with

ROUTE = f"{BASE}/provider/openai/-/"
GET = build_request("GET", ROUTE + "x")
OURS = "default/openai"
REQUESTS = "modelport_gateway_requests_total"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def url(gateway: Gateway) -> Iterator[str]:
    plane = gateway.plane
    with served(DataPlaneFamilies(plane.metrics, plane.state, AccessLog(bytearray().extend)).collect) as url:
        yield url


async def look(url: str) -> Scrape:
    return await asyncio.to_thread(scrape, url)


async def when_ended(url: str, number: int) -> Scrape:
    """Scrape once so many requests have ended: a client has its reply a moment before that."""
    seen: list[Scrape] = []

    async def ended() -> bool:
        seen.append(await look(url))
        return seen[-1].value(REQUESTS) >= number

    await eventually(ended, 5)
    assert seen[-1].value(REQUESTS) == number
    return seen[-1]


async def test_before_the_first_request(url: str) -> None:
    seen = await look(url)
    assert seen.value(REQUESTS) == 0
    assert seen.value("modelport_gateway_requests_in_flight") == 0
    assert seen.value("modelport_gateway_request_duration_seconds_count", provider="none") == 0


async def test_replies_of_all_kinds(gateway: Gateway, upstream: ScriptedUpstream, url: str) -> None:
    async with await RawClient.connect(gateway.url) as client:
        for _ in range(3):
            await client.send(build_json(ROUTE + "x", b'{"a":1}'))
            assert (await client.read_response()).status == 200
        upstream.script = reply_with(b"HTTP/1.1 429 Slow down\r\nContent-Length: 5\r\n\r\nlater")
        await client.send(GET)
        assert (await client.read_response()).status == 429
        await client.send(build_request("GET", f"{BASE}/provider/nobody/-/x"))
        assert (await client.read_response()).status == 404
    assert (await exchange(gateway.url, b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")).status == 400
    seen = await when_ended(url, 6)
    ours = {"provider": OURS, "route": "provider"}
    assert seen.value(REQUESTS, **ours, status="2xx", error_origin="none") == 3
    assert seen.value(REQUESTS, **ours, status="4xx", error_origin="upstream") == 1
    assert seen.value(REQUESTS, provider="none", route="provider", status="4xx", error_origin="gateway") == 1
    assert seen.value(REQUESTS, provider="none", route="none", status="4xx", error_origin="gateway") == 1
    assert seen.value("modelport_gateway_errors_total", code="provider_not_found") == 1
    assert seen.value("modelport_gateway_errors_total", code="malformed_request") == 1
    assert seen.value("modelport_gateway_errors_total") == 2
    assert seen.value("modelport_gateway_request_body_bytes_total", provider=OURS) == 3 * 7
    assert seen.value("modelport_gateway_response_body_bytes_total", provider=OURS) == 3 * 15 + 5
    assert seen.value("modelport_gateway_first_byte_duration_seconds_count", provider=OURS) == 4
    assert seen.value("modelport_gateway_request_duration_seconds_count", provider=OURS) == 4
    assert seen.value("modelport_gateway_overhead_duration_seconds_count", route="provider") == 4
    assert seen.value("modelport_gateway_connect_duration_seconds_count") == 1
    assert seen.value("modelport_gateway_pool_takes_total", source="new") == 1
    assert seen.value("modelport_gateway_pool_takes_total", source="reused") == 3
    assert seen.value("modelport_gateway_pool_connections", state="idle") == 1
    assert seen.value("modelport_gateway_pool_connections", state="in_use") == 0
    assert seen.value("modelport_gateway_route_lookups_total", result="known") == 4


async def test_a_request_under_way_and_its_stream(gateway: Gateway, upstream: ScriptedUpstream, url: str) -> None:
    go_on = asyncio.Event()

    async def script(_: RawRequest, answering: Answering) -> None:
        await asyncio.sleep(0.3)
        await answering.send(STREAM_HEAD)
        await answering.send_chunk(b"data: 1\n\n")
        await go_on.wait()
        await asyncio.sleep(0.3)
        await answering.send_chunk(b"data: 2\n\n")
        await answering.send(b"0\r\n\r\n")

    upstream.script = script
    async with await RawClient.connect(gateway.url) as client:
        await client.send(GET)
        await client.read_head()
        assert await client.read_chunk() == b"data: 1\n\n"
        during = await look(url)
        assert during.value("modelport_gateway_requests_in_flight") == 1
        assert during.value("modelport_gateway_client_connections") == 1
        assert during.value("modelport_gateway_pool_connections", state="in_use") == 1
        assert during.value(REQUESTS) == 0
        go_on.set()
        assert await client.read_chunk() == b"data: 2\n\n"
        assert await client.read_chunk() == b""
    seen = await when_ended(url, 1)
    first_s = seen.value("modelport_gateway_first_byte_duration_seconds_sum", provider=OURS)
    total_s = seen.value("modelport_gateway_request_duration_seconds_sum", provider=OURS)
    assert first_s >= 0.3
    assert first_s + 0.3 <= total_s
    # Neither the provider's time nor the connecting is the gateway's.
    overhead_s = seen.value("modelport_gateway_overhead_duration_seconds_sum")
    connect_s = seen.value("modelport_gateway_connect_duration_seconds_sum")
    assert 0 < overhead_s <= total_s - first_s - connect_s - 0.3
    assert seen.value("modelport_gateway_response_body_bytes_total", provider=OURS) == 18
    assert seen.value("modelport_gateway_requests_in_flight") == 0


@pytest.mark.parametrize(("begun", "status"), [(False, "4xx"), (True, "2xx")])
async def test_a_client_that_leaves(
    gateway: Gateway, upstream: ScriptedUpstream, url: str, begun: bool, status: str
) -> None:
    has_come = asyncio.Event()

    async def script(_: RawRequest, answering: Answering) -> None:
        if begun:
            await answering.send(STREAM_HEAD)
            await answering.send_chunk(b"data: 1\n\n")
        has_come.set()
        await answering.client_closed()
        answering.close()

    upstream.script = script
    async with await RawClient.connect(gateway.url) as client:
        await client.send(GET)
        await asyncio.wait_for(has_come.wait(), 5)
        if begun:
            await client.read_head()
    seen = await when_ended(url, 1)
    assert seen.value(REQUESTS, provider=OURS, status=status, error_origin="client") == 1
    assert seen.value("modelport_gateway_errors_total", code="client_closed") == 1
    assert seen.value("modelport_gateway_first_byte_duration_seconds_count", provider=OURS) == int(begun)


async def test_a_stream_that_the_provider_cuts(gateway: Gateway, upstream: ScriptedUpstream, url: str) -> None:
    upstream.script = reply_with(STREAM_HEAD + b"9\r\ndata: 1\n\n\r\n", closes=True)
    async with await RawClient.connect(gateway.url) as client:
        await client.send(GET)
        await client.read_to_end()
    seen = await when_ended(url, 1)
    assert seen.value(REQUESTS, provider=OURS, status="2xx", error_origin="gateway") == 1
    assert seen.value("modelport_gateway_errors_total", code="upstream_closed") == 1


async def test_a_provider_that_is_not_there(gateway: Gateway, table: MemoryTable, url: str) -> None:
    record = ProviderRecord(
        id="p-2", workspace="default", name="gone", host_url="http://127.0.0.1:1", status="READY", generation=1
    )
    table.put("provider/default/gone", record.payload())
    assert (await exchange(gateway.url, build_request("GET", f"{BASE}/provider/gone/-/x"))).status == 502
    seen = await when_ended(url, 1)
    assert seen.value(REQUESTS, provider="default/gone", status="5xx", error_origin="gateway") == 1
    assert seen.value("modelport_gateway_errors_total", code="connect_failed") == 1
    assert seen.value("modelport_gateway_connect_duration_seconds_count") == 1
    assert seen.value("modelport_gateway_first_byte_duration_seconds_count", provider="default/gone") == 0
    assert seen.value("modelport_gateway_overhead_duration_seconds_count") == 0


async def test_a_request_sent_once_more(gateway: Gateway, upstream: ScriptedUpstream, url: str) -> None:
    closing = asyncio.Event()

    async def script(request: RawRequest, answering: Answering) -> None:
        if request.connection == 1 and len(upstream.requests) == 2:
            await asyncio.sleep(0.3)
            answering.close()
            closing.set()
        else:
            await answering.send(OK)

    upstream.script = script
    async with await RawClient.connect(gateway.url) as client:
        for _ in range(2):
            await client.send(GET)
            assert (await client.read_response()).status == 200
    assert closing.is_set()
    seen = await when_ended(url, 2)
    assert seen.value("modelport_gateway_retries_total") == 1
    assert seen.value("modelport_gateway_pool_takes_total", source="new") == 2
    assert seen.value("modelport_gateway_overhead_duration_seconds_sum") < 0.3
    assert seen.value("modelport_gateway_overhead_duration_seconds_count") == 2


async def test_a_slow_body_is_not_the_gateways_time(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream, url: str
) -> None:
    served = ModelRecord(workspace="default", name="gpt-4", served_by=(ServedBy(provider=OURS, served_id="gpt-4"),))
    named = VirtualModelRecord(workspace="default", name="gpt", created=1, default_model_entity="default/gpt-4")
    table.put("model/default/gpt-4", served.payload())
    table.put("virtual-model/default/gpt", named.payload())
    request = build_json(f"{BASE}/model/gpt/-/v1/chat/completions", b'{"messages":[]}')
    async with await RawClient.connect(gateway.url) as client:
        await client.send(request[:-3])
        await asyncio.sleep(0.4)
        await client.send(request[-3:])
        assert (await client.read_response()).status == 200
    seen = await when_ended(url, 1)
    assert seen.value(REQUESTS, route="model") == 1
    # the gateway's time begins a moment after the client's
    assert seen.value("modelport_gateway_request_duration_seconds_sum") >= 0.35
    assert seen.value("modelport_gateway_overhead_duration_seconds_sum") < 0.35


async def test_a_route_that_redis_was_asked_for(gateway: Gateway, table: MemoryTable, url: str) -> None:
    table.hides = True
    assert (await exchange(gateway.url, GET)).status == 200
    seen = await when_ended(url, 1)
    assert seen.value("modelport_gateway_route_lookups_total", result="asked") == 1
    assert seen.value("modelport_gateway_route_lookups_total", result="known") == 0


@pytest.mark.parametrize(("max_queue_s", "status"), [(10.0, "2xx"), (0.2, "5xx")])
async def test_a_request_that_waits_for_a_slot(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream, url: str, max_queue_s: float, status: str
) -> None:
    record = ProviderRecord(
        id="p-1",
        workspace="default",
        name="openai",
        host_url=f"{upstream.url}/v1",
        status="READY",
        generation=1,
        options=RecordedOptions(max_concurrency=1, max_queue_s=max_queue_s),
    )
    table.put("provider/default/openai", record.payload(), revision=2)
    has_come, go_on = asyncio.Event(), asyncio.Event()

    async def script(_: RawRequest, answering: Answering) -> None:
        has_come.set()
        await go_on.wait()
        await answering.send(OK)

    upstream.script = script
    async with await RawClient.connect(gateway.url) as first, await RawClient.connect(gateway.url) as second:
        await first.send(GET)
        await asyncio.wait_for(has_come.wait(), 5)
        since = time.monotonic()
        await second.send(GET)
        if status == "2xx":
            await asyncio.sleep(0.3)
        else:
            assert (await second.read_response()).status == 503
        go_on.set()
        assert (await first.read_response()).status == 200
        if status == "2xx":
            assert (await second.read_response()).status == 200
        most_s = time.monotonic() - since
    seen = await when_ended(url, 2)
    assert seen.value("modelport_gateway_queue_duration_seconds_count", provider=OURS) == 1
    waited_s = seen.value("modelport_gateway_queue_duration_seconds_sum", provider=OURS)
    assert 0.15 <= waited_s <= most_s
    assert seen.value(REQUESTS, provider=OURS, status=status) == (2 if status == "2xx" else 1)
    # The wait is none of the gateway's own time.
    total_s = seen.value("modelport_gateway_request_duration_seconds_sum", provider=OURS)
    overhead_s = seen.value("modelport_gateway_overhead_duration_seconds_sum")
    assert overhead_s <= total_s - waited_s

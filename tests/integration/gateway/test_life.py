"""Draining, closing, CORS, and what a request leaves behind."""

import asyncio
import gc
import json
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from modelport_testing.gateway_harness import BASE, Gateway, MemoryTable
from modelport_testing.polling import eventually
from modelport_testing.raw_client import RawClient, build_json, build_request, exchange
from modelport_testing.scripted_upstream import OK, Answering, RawRequest, ScriptedUpstream

ROUTE = f"{BASE}/provider/openai/-/"
GET = build_request("GET", ROUTE + "x")


async def test_draining_closes_connections_after_their_reply(gateway: Gateway) -> None:
    async with await RawClient.connect(gateway.url) as client:
        await client.send(GET)
        assert (await client.read_response()).value("connection") is None
        gateway.plane.begin_drain()
        await client.send(GET)
        response = await client.read_response()
        assert (response.status, response.value("connection")) == (200, b"close")
        assert await client.read_to_end() == b""


async def test_not_serving_is_503(gateway: Gateway) -> None:
    gateway.plane.is_serving = False
    response = await exchange(gateway.url, GET)
    assert response.status == 503
    assert json.loads(response.body)["error"]["code"] == "not_serving"
    assert response.value("retry-after") == b"1"


async def test_a_request_of_which_a_byte_was_read_survives_the_exit(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    begun = asyncio.Event()
    finish = asyncio.Event()

    async def script(_: RawRequest, answering: Answering) -> None:
        begun.set()
        await finish.wait()
        await answering.send(OK)

    upstream.script = script
    async with await RawClient.connect(gateway.url) as running, await RawClient.connect(gateway.url) as partial:
        await running.send(GET)
        await partial.send(GET[:20])
        await asyncio.wait_for(begun.wait(), 5)

        async def exit_now() -> None:
            gateway.plane.begin_drain()
            for connection in list(gateway.plane.connections):
                connection.shutdown()

        await gateway.call(exit_now)
        await partial.send(GET[20:])
        await eventually(lambda: len(upstream.requests) == 2)
        finish.set()
        for client in (running, partial):
            assert (await client.read_response()).status == 200
            assert await client.read_to_end() == b""


async def test_streams_that_are_left_at_the_end_get_an_error_event(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    async def script(_: RawRequest, answering: Answering) -> None:
        await answering.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        await answering.send_chunk(b"data: 1\n\n")
        await answering.client_closed()
        answering.close()

    upstream.script = script
    async with await RawClient.connect(gateway.url) as client:
        await client.send(GET)
        await client.read_head()
        assert await client.read_chunk() == b"data: 1\n\n"
        await gateway.call(gateway.plane.close)
        assert b'"code":"draining"' in await client.read_chunk()
        assert await client.read_to_end() == b""


@pytest.fixture
async def browsers(table: MemoryTable) -> AsyncIterator[Gateway]:
    async with Gateway(table, cors_origins=["https://app.test"]) as running:
        yield running


async def test_a_preflight_is_answered_here(browsers: Gateway, upstream: ScriptedUpstream) -> None:
    asks = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization, x-y")
    response = await exchange(browsers.url, build_request("OPTIONS", ROUTE + "x", "Origin: https://app.test", *asks))
    assert response.status == 204
    assert response.value("access-control-allow-origin") == b"https://app.test"
    assert response.value("access-control-allow-headers") == b"authorization, x-y"
    stranger = await exchange(browsers.url, build_request("OPTIONS", ROUTE + "x", "Origin: https://evil.test", *asks))
    assert stranger.value("access-control-allow-origin") is None
    assert not upstream.requests


async def test_the_provider_s_cors_lines_are_replaced(browsers: Gateway, upstream: ScriptedUpstream) -> None:
    async def script(_: RawRequest, answering: Answering) -> None:
        await answering.send(OK.replace(b"Content-Type", b"Access-Control-Allow-Origin: *\r\nContent-Type"))

    upstream.script = script
    response = await exchange(browsers.url, build_request("GET", ROUTE + "x", "Origin: https://app.test"))
    assert response.values("access-control-allow-origin") == [b"https://app.test"]
    for nobody in ("nobody", "Not_a_Name"):
        refused = await exchange(
            browsers.url, build_request("GET", f"{BASE}/provider/{nobody}/-/x", "Origin: https://app.test")
        )
        assert refused.values("access-control-allow-origin") == [b"https://app.test"]


async def test_without_origins_options_are_forwarded(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    asks = ("Origin: https://app.test", "Access-Control-Request-Method: POST")
    assert (await exchange(gateway.url, build_request("OPTIONS", ROUTE + "x", *asks))).status == 200
    assert upstream.last.method == b"OPTIONS"


async def test_a_request_leaves_no_garbage(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    async def chunked(request: RawRequest, answering: Answering) -> None:
        if request.target == b"/v1/chunked":
            await answering.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
        else:
            await answering.send(OK)

    upstream.script = chunked
    requests = [
        GET,
        build_json(ROUTE + "chunked", b'{"a":1}'),
        build_request("POST", ROUTE + "x", "Transfer-Encoding: chunked") + b"2\r\nhi\r\n0\r\n\r\n",
        build_request("GET", f"{BASE}/provider/nobody/-/x"),
    ]

    def ours() -> Counter[str]:
        return Counter(
            type(thing).__name__
            for thing in gc.get_objects()
            if str(type(thing).__module__).startswith("modelport_gateway")
        )

    async with await RawClient.connect(gateway.url) as client:
        for request in requests:
            await client.send(request)
            await client.read_response()
        gc.collect()
        gc.disable()
        try:
            before = ours()
            for _ in range(500):
                for request in requests:
                    await client.send(request)
                    await client.read_response()
            await eventually(lambda: not gateway.plane.context.active)
            # Another connection may have come; what is left of each of 500 requests is more than that.
            assert {name: count for name, count in (ours() - before).items() if count > 10} == {}
        finally:
            gc.enable()

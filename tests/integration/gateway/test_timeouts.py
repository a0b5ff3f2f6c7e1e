"""The four timeouts of a provider: each in its phase, told apart by `code`, also while a side takes nothing.

They are long enough that a busy machine is not taken for a side that stalls.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from modelport_contracts.records import ProviderRecord
from modelport_gateway.admit.timeouts import Timeouts
from modelport_testing.gateway_harness import BASE, Gateway, MemoryTable
from modelport_testing.polling import eventually
from modelport_testing.raw_client import RawClient, RawResponse, build_json, build_request, exchange
from modelport_testing.scripted_upstream import OK, Answering, RawRequest, ScriptedUpstream, answer_ok

ROUTE = f"{BASE}/provider/openai/-/"
GET = build_request("GET", ROUTE + "x")
POST = build_request("POST", ROUTE + "x", body=b"{}")
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SLOW = Timeouts(head_s=20, first_byte_s=60, idle_s=60)
"""The gateway's own, when those of the provider are at work."""


def register(table: MemoryTable, url: str, **members: Any) -> None:
    record = ProviderRecord.model_validate(
        {"id": "p", "workspace": "default", "name": "openai", "host_url": f"{url}/v1", "status": "READY", **members}
    )
    table.put("provider/default/openai", record.payload())


def code_of(response: RawResponse) -> tuple[int, str]:
    assert response.value("x-modelport-error-origin") == b"gateway"
    return response.status, json.loads(response.body)["error"]["code"]


async def hold(_: RawRequest, answering: Answering) -> None:
    """Answer nothing until the gateway gives up."""
    await answering.client_closed(30)
    answering.close()


async def begin_and_hold(_: RawRequest, answering: Answering) -> None:
    await answering.send(SSE)
    await answering.send_chunk(b"data: 1\n\n")
    await answering.client_closed(30)
    answering.close()


async def talk_for_ever(_: RawRequest, answering: Answering) -> None:
    await answering.send(SSE)
    with contextlib.suppress(ConnectionError):
        while True:
            await answering.send_chunk(b"data: 1\n\n")
            await asyncio.sleep(0.05)


async def flood(_: RawRequest, answering: Answering) -> None:
    await answering.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await answering.send_chunk(b"x" * 65536)


@pytest.fixture
async def gateway(table: MemoryTable) -> AsyncIterator[Gateway]:
    async with Gateway(table, timeouts=SLOW) as running:
        yield running


async def test_no_first_byte_in_time(gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream) -> None:
    register(table, upstream.url, options={"first_byte_timeout_s": 1})
    upstream.script = hold
    response = await exchange(gateway.url, POST)
    assert code_of(response) == (504, "first_byte_timeout")
    assert b"within 1 s" in response.body
    await eventually(lambda: upstream.open_connections == 0)


@contextlib.contextmanager
def hole() -> Iterator[str]:
    """A listening socket whose queue is full answers nothing."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield f"http://127.0.0.1:{full.getsockname()[1]}"
        for filler in fillers:
            filler.close()


async def test_no_connection_in_time(gateway: Gateway, table: MemoryTable) -> None:
    with hole() as url:
        register(table, url, options={"connect_timeout_s": 0.4})
        response = await exchange(gateway.url, GET)
    assert code_of(response) == (504, "connect_timeout")
    assert b"within 0.4 s" in response.body


async def test_the_gateways_own_where_the_provider_has_none(table: MemoryTable, upstream: ScriptedUpstream) -> None:
    upstream.script = hold
    timeouts = Timeouts(connect_s=0.4, first_byte_s=1, idle_s=60)
    async with Gateway(table, timeouts=timeouts) as gateway:
        assert code_of(await exchange(gateway.url, POST)) == (504, "first_byte_timeout")
        register(table, upstream.url, options={"idle_timeout_s": 50})
        assert code_of(await exchange(gateway.url, POST)) == (504, "first_byte_timeout")
        with hole() as url:
            register(table, url, options={"idle_timeout_s": 50})
            assert code_of(await exchange(gateway.url, GET)) == (504, "connect_timeout")


async def test_a_change_counts_for_new_requests(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream
) -> None:
    answers = asyncio.Event()

    async def script(request: RawRequest, answering: Answering) -> None:
        if request.connection == 1:
            await asyncio.wait_for(answers.wait(), 30)
            await answering.send(OK)
        else:
            await hold(request, answering)

    upstream.script = script
    async with await RawClient.connect(gateway.url) as running:
        await running.send(POST)
        await eventually(lambda: upstream.requests)
        register(table, upstream.url, options={"first_byte_timeout_s": 0.5})
        assert code_of(await exchange(gateway.url, POST)) == (504, "first_byte_timeout")
        answers.set()
        assert (await running.read_response()).status == 200


async def test_a_body_that_stops_coming(gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream) -> None:
    register(table, upstream.url, options={"idle_timeout_s": 1.5})
    async with await RawClient.connect(gateway.url) as client:
        await client.send(POST[:-1])
        assert code_of(await client.read_response()) == (408, "request_timeout")
        assert await client.read_to_end() == b""
    await eventually(lambda: upstream.open_connections == 0)


async def test_a_body_that_stops_coming_before_it_is_known_where_it_goes(table: MemoryTable) -> None:
    async with Gateway(table, timeouts=Timeouts(idle_s=1)) as gateway, await RawClient.connect(gateway.url) as client:
        await client.send(build_json(f"{BASE}/openai/-/v1/x", b'{"model":"x"}')[:-1])
        assert code_of(await client.read_response()) == (408, "request_timeout")


async def test_a_body_for_the_app_that_stops_coming(table: MemoryTable) -> None:
    async with Gateway(table, timeouts=Timeouts(idle_s=2)) as gateway, await RawClient.connect(gateway.url) as client:
        request = build_json("/apis/models/v2/workspaces", b"0123456789")
        for piece in (request[:-6], request[-6:-3], request[-3:]):  # each has its own time
            await asyncio.sleep(1.1)
            await client.send(piece)
        assert (await client.read_response()).status == 200
        await client.send(request[:-1])
        assert await client.read_to_end() == b""


async def test_a_stream_that_goes_silent_ends_with_an_error_event(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream
) -> None:
    register(table, upstream.url, options={"idle_timeout_s": 1.5})
    upstream.script = begin_and_hold
    async with await RawClient.connect(gateway.url) as client:
        await client.send(POST)
        await client.read_head()
        assert await client.read_chunk() == b"data: 1\n\n"
        await expect_error_event(client, "idle_timeout")


async def expect_error_event(client: RawClient, code: str) -> None:
    while (event := await client.read_chunk()) == b"data: 1\n\n":
        continue
    assert event.startswith(b"event: error\ndata: ")
    assert event.endswith(b"\n\n")
    assert json.loads(event.split(b"data: ")[1])["error"]["code"] == code
    assert await client.read_to_end() == b""


async def test_a_client_that_stops_reading_is_cut_off(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream
) -> None:
    register(table, upstream.url, options={"idle_timeout_s": 1.5})
    upstream.script = flood
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1000)
    writer.write(GET)
    await eventually(lambda: b'"client_stalled"' in gateway.access_log, 15)
    await eventually(lambda: upstream.open_connections == 0)
    writer.close()


@pytest.mark.parametrize("whole", [False, True])
async def test_a_provider_that_takes_no_body_is_given_up(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream, whole: bool
) -> None:
    """Also where the gateway has the whole body, and only the provider keeps it from being sent."""
    members = {"required_extra_body": {"user": "me"}} if whole else {}
    register(table, upstream.url, options={"idle_timeout_s": 1.5}, **members)

    async def on_head(_: RawRequest, answering: Answering) -> None:
        await eventually(lambda: b'"idle_timeout"' in gateway.access_log, 30)
        answering.close()

    upstream.on_head = on_head
    body = b'{"x":"%b"}' % (b"y" * 2**25)
    async with await RawClient.connect(gateway.url) as client:
        sending = asyncio.ensure_future(client.send(build_json(ROUTE + "x", body)))
        assert code_of(await client.read_response(timeout_s=30)) == (504, "idle_timeout")
        client.abort()
        await asyncio.gather(sending, return_exceptions=True)


async def test_the_total_before_the_first_byte(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream
) -> None:
    register(table, upstream.url, options={"total_timeout_s": 1})
    upstream.script = hold
    async with await RawClient.connect(gateway.url) as client:
        for _ in range(2):  # the connection of the client serves on
            await client.send(POST)
            response = await client.read_response()
            assert code_of(response) == (504, "total_timeout")
            assert b"options.total_timeout_s" in response.body
    await eventually(lambda: upstream.open_connections == 0)


async def test_the_total_of_a_stream_that_never_ends(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream
) -> None:
    register(table, upstream.url, options={"total_timeout_s": 1.5, "idle_timeout_s": 1})
    upstream.script = talk_for_ever
    async with await RawClient.connect(gateway.url) as client:
        await client.send(POST)
        await client.read_head()
        await expect_error_event(client, "total_timeout")
    await eventually(lambda: upstream.open_connections == 0)


async def test_the_total_of_an_upload_that_never_ends(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream
) -> None:
    register(table, upstream.url, options={"total_timeout_s": 1.5})

    async def drip(client: RawClient) -> None:
        await client.send(build_request("POST", ROUTE + "x", "Transfer-Encoding: chunked"))
        while True:
            await client.send(b"1\r\nx\r\n")
            await asyncio.sleep(0.05)

    async with await RawClient.connect(gateway.url) as client:
        dripping = asyncio.ensure_future(drip(client))
        assert code_of(await client.read_response()) == (504, "total_timeout")
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
    await eventually(lambda: upstream.open_connections == 0)


async def test_the_total_of_a_reply_that_its_client_does_not_take(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream
) -> None:
    register(table, upstream.url, options={"total_timeout_s": 1.5})
    upstream.script = flood
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1000)
    writer.write(GET)
    await eventually(lambda: b'"total_timeout"' in gateway.access_log, 15)
    await eventually(lambda: upstream.open_connections == 0)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_the_total_counts_while_a_request_waits_for_its_turn(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream
) -> None:
    register(table, upstream.url, options={"total_timeout_s": 1.5, "max_concurrency": 1, "max_queue_s": 60})
    upstream.script = hold
    first, second = await asyncio.gather(exchange(gateway.url, GET), exchange(gateway.url, GET))
    assert code_of(first) == code_of(second) == (504, "total_timeout")
    assert len(upstream.requests) <= 2
    upstream.script = answer_ok
    assert (await exchange(gateway.url, GET)).status == 200


async def test_timeouts_do_not_count_where_something_moves(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream
) -> None:
    """A stream longer than every timeout but the total, whose events come in time."""
    register(table, upstream.url, options={"idle_timeout_s": 1, "first_byte_timeout_s": 1})

    async def script(_: RawRequest, answering: Answering) -> None:
        await answering.send(SSE)
        for _event in range(10):
            await answering.send_chunk(b"data: 1\n\n")
            await asyncio.sleep(0.2)
        await answering.send(b"0\r\n\r\n")

    upstream.script = script
    async with await RawClient.connect(gateway.url) as client:
        await client.send(POST)
        assert len((await client.read_response(timeout_s=20)).chunks) == 10

"""What providers do: keep connections, drop them, break the protocol, take too long, cut streams."""

import asyncio
import json
import socket
import threading

import pytest

from modelport_contracts.records import ProviderRecord
from modelport_testing.gateway_harness import BASE, Gateway, MemoryTable
from modelport_testing.polling import eventually
from modelport_testing.raw_client import RawClient, RawResponse, TruncatedError, build_request, exchange
from modelport_testing.scripted_upstream import OK, Answering, RawRequest, ScriptedUpstream, answer_ok, reply_with

ROUTE = f"{BASE}/provider/openai/-/"
GET = build_request("GET", ROUTE + "x")
POST = build_request("POST", ROUTE + "x", body=b"{}")
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"


def code_of(response: RawResponse) -> tuple[int, str]:
    assert response.value("x-modelport-error-origin") == b"gateway"
    return response.status, json.loads(response.body)["error"]["code"]


async def test_connections_are_reused(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    async with await RawClient.connect(gateway.url) as client:
        for _ in range(20):
            await client.send(POST)
            assert (await client.read_response()).status == 200
    assert upstream.connections == 1


@pytest.mark.parametrize(
    "reply",
    [
        OK.replace(b"Content-Type", b"Connection: close\r\nContent-Type"),
        OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
        OK + b"x",
        b"HTTP/1.1 204 No Content\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        OK.replace(b"Content-Type", b"Keep-Alive: timeout=1\r\nContent-Type"),
    ],
)
async def test_a_connection_in_doubt_is_not_reused(gateway: Gateway, upstream: ScriptedUpstream, reply: bytes) -> None:
    upstream.script = reply_with(reply)
    async with await RawClient.connect(gateway.url) as client:
        for index in range(3):
            await client.send(GET)
            assert (await client.read_response()).status in (200, 204)
            assert upstream.connections == index + 1


async def test_bytes_without_a_request_close_the_connection(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    async def script(request: RawRequest, answering: Answering) -> None:
        await answering.send(OK)
        if request.connection == 1:

            async def later() -> None:
                await answering.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

            asyncio.get_running_loop().call_later(0.05, lambda: asyncio.ensure_future(later()))

    upstream.script = script
    async with await RawClient.connect(gateway.url) as client:
        await client.send(GET)
        await client.read_response()
        await eventually(lambda: upstream.open_connections == 0, 2)
        await client.send(GET)
        assert (await client.read_response()).body == b'{"hello":"you"}'
    assert upstream.connections == 2


async def test_a_connection_that_the_provider_closed_while_idle_is_not_used(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.script = reply_with(OK, closes=True)
    async with await RawClient.connect(gateway.url) as client:
        for _ in range(50):
            await client.send(POST)
            assert (await client.read_response()).status == 200


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
    ],
)
async def test_what_is_no_http_reply_is_502(gateway: Gateway, upstream: ScriptedUpstream, reply: bytes) -> None:
    upstream.script = reply_with(reply)
    assert code_of(await exchange(gateway.url, GET)) == (502, "upstream_protocol")
    await eventually(lambda: upstream.open_connections == 0)


async def test_interim_replies_are_swallowed(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.script = reply_with(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
        + OK
    )
    async with await RawClient.connect(gateway.url) as client:
        for _ in range(2):
            await client.send(POST)
            response = await client.read_response()
            assert (response.status, response.body) == (200, b'{"hello":"you"}')
    assert upstream.connections == 1


async def test_a_reply_in_single_bytes(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    async def script(_: RawRequest, answering: Answering) -> None:
        reply = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na\r\n\r\r\n2;x=y\r\n\nb\r\n0\r\nX-T: 1\r\n\r\n"
        )
        for byte in reply:
            await answering.send(bytes((byte,)))

    upstream.script = script
    async with await RawClient.connect(gateway.url) as client:
        for _ in range(2):
            await client.send(GET)
            response = await client.read_response()
            assert (response.body, response.trailers) == (b"a\r\n\r\nb", b"")
    assert upstream.connections == 1


def provider(url: str) -> bytes:
    return ProviderRecord(
        id="p", workspace="default", name="openai", host_url=f"{url}/v1", status="READY", generation=1
    ).payload()


async def test_a_provider_that_is_not_there(gateway: Gateway, table: MemoryTable) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        table.put("provider/default/openai", provider(f"http://127.0.0.1:{nobody.getsockname()[1]}"))
        assert code_of(await exchange(gateway.url, GET)) == (502, "connect_failed")
    table.put("provider/default/openai", provider("http://no-such-host.invalid"))
    assert code_of(await exchange(gateway.url, GET)) == (502, "connect_failed")


@pytest.mark.parametrize("end", [b"data: 1\n\n", b"data: 1\r\n\r\n", b": comment\n\n"])
async def test_a_stream_that_is_cut_between_events_ends_with_an_error_event(
    gateway: Gateway, upstream: ScriptedUpstream, end: bytes
) -> None:
    async def script(_: RawRequest, answering: Answering) -> None:
        await answering.send(SSE + b"\r\n")
        await answering.send_chunk(end)
        answering.close()

    upstream.script = script
    async with await RawClient.connect(gateway.url) as client:
        await client.send(POST)
        await client.read_head()
        got = await client.read_to_end()
    assert b"event: error\ndata: " in got
    assert b"upstream_closed" in got
    assert not got.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("head", "payload"),
    [
        (SSE + b"\r\n", b"data: half an ev"),
        (SSE + b"\r\n", b"data: one line\n"),
        (SSE + b"Content-Encoding: gzip\r\n\r\n", b"data: 1\n\n"),
        (SSE.replace(b"text/event-stream", b"application/json") + b"\r\n", b"{}\n\n"),
    ],
)
async def test_any_other_reply_that_is_cut_is_just_cut(
    gateway: Gateway, upstream: ScriptedUpstream, head: bytes, payload: bytes
) -> None:
    async def script(_: RawRequest, answering: Answering) -> None:
        await answering.send(head)
        await answering.send_chunk(payload)
        answering.close()

    upstream.script = script
    async with await RawClient.connect(gateway.url) as client:
        await client.send(POST)
        await client.read_head()
        assert await client.read_chunk() == payload
        assert await client.read_to_end() == b""


async def test_a_counted_reply_that_is_cut_is_short(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.script = reply_with(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", closes=True)
    async with await RawClient.connect(gateway.url) as client:
        await client.send(GET)
        with pytest.raises(TruncatedError) as caught:
            await client.read_response()
    assert caught.value.raw.endswith(b"half")


async def test_an_http_10_client_sees_a_reset_where_a_reply_is_cut(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    cut = threading.Event()

    async def script(_: RawRequest, answering: Answering) -> None:
        await answering.send(SSE + b"\r\n")
        await answering.send_chunk(b"data: 1\n\n")
        await asyncio.to_thread(cut.wait, 5)
        answering.close()

    upstream.script = script
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(f"GET {ROUTE}x HTTP/1.0\r\n\r\n".encode())
    await reader.readuntil(b"data: 1\n\n")
    cut.set()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_a_slow_reader_holds_the_provider_back(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    sent = 0
    total = 64 * 1024 * 1024

    async def script(_: RawRequest, answering: Answering) -> None:
        nonlocal sent
        await answering.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        piece = b"x" * 65536
        while sent < total:
            await answering.send(piece)
            sent += len(piece)

    upstream.script = script
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=65536)
    writer.write(GET)
    await reader.readexactly(1000)

    last = -1

    async def settled() -> bool:
        nonlocal last
        before, last = last, sent
        await asyncio.sleep(0.2)
        return before == sent

    await eventually(settled, 10)
    assert sent < total // 2
    while sent < total:
        await reader.read(1 << 20)
    writer.close()


async def test_a_retry_after_the_answer_begins_is_never_made(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.script = answer_ok
    async with await RawClient.connect(gateway.url) as client:
        await client.send(GET)
        await client.read_response()
        upstream.script = reply_with(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", closes=True)
        await client.send(GET)
        with pytest.raises(TruncatedError):
            await client.read_response()
    assert len(upstream.requests) == 2

"""Clients that send requests and do not read the replies: they wait, and do not fill the gateway's memory."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from modelport_gateway.admit.timeouts import Timeouts
from modelport_testing.gateway_harness import BASE, Gateway, MemoryTable
from modelport_testing.polling import eventually
from modelport_testing.raw_client import RawClient, build_request
from modelport_testing.scripted_upstream import ScriptedUpstream, reply_with

GET = build_request("GET", f"{BASE}/provider/openai/-/x")
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
REQUESTS = 400


@pytest.fixture
async def impatient(table: MemoryTable, upstream: ScriptedUpstream) -> AsyncIterator[Gateway]:
    upstream.script = reply_with(REPLY)
    async with Gateway(table, timeouts=Timeouts(idle_s=1, keep_alive_s=1)) as running:
        yield running


async def connect(gateway: Gateway) -> RawClient:
    """Connect with little room for replies in the kernel."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", gateway.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1000)
    return RawClient(reader, writer)


async def settled(upstream: ScriptedUpstream) -> int:
    """Return how many requests have come once no more do."""
    last = -1

    async def same() -> bool:
        nonlocal last
        before, last = last, len(upstream.requests)
        await asyncio.sleep(0.2)
        return 0 < before == last

    await eventually(same, 20)
    return last


async def test_requests_wait_until_the_replies_before_are_taken(table: MemoryTable, upstream: ScriptedUpstream) -> None:
    upstream.script = reply_with(REPLY)
    async with Gateway(table) as gateway:
        client = await connect(gateway)
        await client.send(GET * REQUESTS)
        assert await settled(upstream) < REQUESTS // 2
        for _ in range(REQUESTS):
            assert (await client.read_response()).body == REPLY[-100_000:]
        assert len(upstream.requests) == REQUESTS
        await client.close()


@pytest.mark.parametrize("last", [b"", GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")])
async def test_a_client_that_never_reads_is_given_up(
    impatient: Gateway, upstream: ScriptedUpstream, last: bytes
) -> None:
    client = await connect(impatient)
    await client.send(GET * (REQUESTS if not last else 5) + last)
    await settled(upstream)
    await eventually(lambda: not impatient.plane.connections, 20)
    client.abort()


async def endless(_scope: Any, _receive: Any, send: Any) -> None:
    """An app that writes for as long as somebody takes it."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(1000):
        await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def test_a_client_that_does_not_read_what_the_app_writes_is_given_up(table: MemoryTable) -> None:
    async with Gateway(table, app=endless, timeouts=Timeouts(idle_s=1)) as gateway:
        client = await connect(gateway)
        await client.send(build_request("GET", "/docs"))
        await eventually(lambda: gateway.plane.connections)
        await eventually(lambda: not gateway.plane.connections, 20)
        client.abort()

"""Which connection a request takes, for how long one is kept, and when a request is sent once more.

docs/dataplane.md, Timeouts, retries, pool.
"""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from modelport_contracts.records import ProviderRecord
from modelport_gateway.send.pool import PoolLimits
from modelport_gateway.send.resolver import Address, Resolver
from modelport_testing.certificates import Authority
from modelport_testing.gateway_harness import BASE, Gateway, MemoryTable
from modelport_testing.polling import eventually
from modelport_testing.raw_client import RawClient, RawResponse, build_json, build_request, exchange
from modelport_testing.scripted_upstream import OK, Answering, RawRequest, ScriptedUpstream, reply_with

ROUTE = f"{BASE}/provider/openai/-/"
GET = build_request("GET", ROUTE + "x")
POST = build_request("POST", ROUTE + "x", body=b"{}")
LONG = PoolLimits(idle_http_s=60, idle_https_s=60)


def register(table: MemoryTable, url: str, **members: Any) -> None:
    record = ProviderRecord.model_validate(
        {"id": "p", "workspace": "default", "name": "openai", "host_url": f"{url}/v1", "status": "READY", **members}
    )
    table.put("provider/default/openai", record.payload())


def code_of(response: RawResponse) -> tuple[int, str]:
    return response.status, json.loads(response.body)["error"]["code"]


def keep_alive(value: str) -> bytes:
    return OK.replace(b"Content-Type", b"Keep-Alive: %b\r\nContent-Type" % value.encode())


# How long


async def test_idle_connections_expire(table: MemoryTable, upstream: ScriptedUpstream) -> None:
    async with Gateway(table, pool_limits=PoolLimits(idle_http_s=1.5)) as gateway:
        assert (await exchange(gateway.url, GET)).status == 200
        assert upstream.open_connections == 1
        await eventually(lambda: upstream.open_connections == 0, 10)


async def test_idle_connections_with_tls_have_their_own_time(table: MemoryTable, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    limits = PoolLimits(idle_http_s=60, idle_https_s=0.2)
    async with ScriptedUpstream(tls=authority.server()) as upstream:
        register(table, upstream.url)
        async with Gateway(table, pool_limits=limits, tls=authority.trusting()) as gateway:
            assert (await exchange(gateway.url, GET)).status == 200
            await eventually(lambda: upstream.open_connections == 0, 10)


@pytest.mark.parametrize("value", ["timeout=2", "timeout=2, max=100", "max=9, Timeout=2"])
async def test_a_provider_that_announces_less_is_believed(
    table: MemoryTable, upstream: ScriptedUpstream, value: str
) -> None:
    """Less a second: a request that is sent at the last moment would be lost."""
    upstream.script = reply_with(keep_alive(value))
    async with Gateway(table, pool_limits=LONG) as gateway:
        since = time.monotonic()
        assert (await exchange(gateway.url, GET)).status == 200
        await eventually(lambda: upstream.open_connections == 0, 10)
        assert time.monotonic() - since > 0.8


async def test_a_provider_that_announces_more_is_believed(table: MemoryTable, upstream: ScriptedUpstream) -> None:
    limits = PoolLimits(idle_http_s=0.1)
    async with Gateway(table, pool_limits=limits) as gateway:
        for value, kept in (("timeout=600", True), ("max=5", False)):
            upstream.script = reply_with(keep_alive(value))
            assert (await exchange(gateway.url, GET)).status == 200
            since = time.monotonic()
            if kept:
                await eventually(lambda since=since: time.monotonic() - since > 1.5)  # type: ignore[misc]
                assert upstream.open_connections == 1
            else:
                await eventually(lambda: upstream.open_connections == 0, 10)


async def test_a_connection_that_is_always_busy_ends_too(table: MemoryTable, upstream: ScriptedUpstream) -> None:
    limits = PoolLimits(idle_http_s=60, max_age_s=0.5)
    async with Gateway(table, pool_limits=limits) as gateway, await RawClient.connect(gateway.url) as client:

        async def third_connection() -> bool:
            await client.send(GET)
            assert (await client.read_response()).status == 200
            return upstream.connections >= 3

        await eventually(third_connection, 10)
        await eventually(lambda: upstream.open_connections == 1)
    assert len(upstream.requests) > 3


async def test_the_connection_that_was_used_last_is_taken(table: MemoryTable, upstream: ScriptedUpstream) -> None:
    """So that those that are not needed any more stay idle, and expire."""
    together = asyncio.Barrier(3)

    async def script(request: RawRequest, answering: Answering) -> None:
        if request.target.endswith(b"together"):
            await asyncio.wait_for(together.wait(), 10)
        await answering.send(OK)

    upstream.script = script
    async with Gateway(table, pool_limits=PoolLimits(idle_http_s=1.5)) as gateway:
        request = build_request("GET", ROUTE + "together")
        await asyncio.gather(*(exchange(gateway.url, request) for _ in range(3)))
        assert upstream.connections == 3

        async def others_expired() -> bool:
            assert (await exchange(gateway.url, GET)).status == 200
            return upstream.open_connections == 1

        await eventually(others_expired, 15, interval=0.1)
    assert upstream.connections == 3
    assert len({request.connection for request in upstream.requests[3:]}) == 1


# Once more


@asynccontextmanager
async def losing(table: MemoryTable, *lost: int, **members: Any) -> AsyncIterator[ScriptedUpstream]:
    """A provider that closes without an answer to `/lose` on connections with these numbers."""

    async def script(request: RawRequest, answering: Answering) -> None:
        if request.target == b"/v1/lose" and request.connection in lost:
            answering.close()
        else:
            await answering.send(OK)

    async with ScriptedUpstream(script) as upstream:
        register(table, upstream.url, **members)
        yield upstream


def losses(upstream: ScriptedUpstream) -> int:
    return len([request for request in upstream.requests if request.target == b"/v1/lose"])


@pytest.mark.parametrize(
    ("method", "lines", "status"),
    [
        ("GET", (), 200),
        ("PUT", (), 200),
        ("DELETE", (), 200),
        ("OPTIONS", (), 200),
        ("POST", (), 502),
        ("PATCH", (), 502),
        ("POST", ("Idempotency-Key: 1",), 200),
        ("PATCH", ("idempotency-key: 1",), 200),
    ],
)
async def test_a_lost_request_is_repeated_only_where_that_is_safe(
    gateway: Gateway, table: MemoryTable, method: str, lines: tuple[str, ...], status: int
) -> None:
    async with losing(table, 1) as upstream, await RawClient.connect(gateway.url) as client:
        await client.send(GET)
        assert (await client.read_response()).status == 200
        await client.send(build_request(method, ROUTE + "lose", *lines, body=b"{}"))
        response = await client.read_response()
        assert response.status == status
        if status == 502:
            assert code_of(response) == (502, "upstream_closed")
        assert losses(upstream) == (2 if status == 200 else 1)


async def test_a_head_is_repeated_too(gateway: Gateway, table: MemoryTable) -> None:
    async with losing(table, 1) as upstream, await RawClient.connect(gateway.url) as client:
        await client.send(GET)
        await client.read_response()
        await client.send(build_request("HEAD", ROUTE + "lose"))
        assert (await client.read_response("HEAD")).status == 200
        assert losses(upstream) == 2


async def test_a_request_is_never_repeated_twice(gateway: Gateway, table: MemoryTable) -> None:
    async with losing(table, 1, 2, 3) as upstream, await RawClient.connect(gateway.url) as client:
        await client.send(GET)
        await client.read_response()
        await client.send(build_request("GET", ROUTE + "lose"))
        assert code_of(await client.read_response()) == (502, "upstream_closed")
        assert losses(upstream) == 2


async def test_a_first_use_is_not_repeated(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.script = reply_with(b"", closes=True)
    assert code_of(await exchange(gateway.url, GET)) == (502, "upstream_closed")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(("size", "status"), [(60_000, 200), (66_000, 502)])
async def test_what_is_too_long_to_keep_is_not_repeated(
    gateway: Gateway, table: MemoryTable, size: int, status: int
) -> None:
    # With members to add the body does not stream through but is in memory as a whole.
    members = {"required_extra_body": {"a": 1}}
    async with losing(table, 1, **members) as upstream, await RawClient.connect(gateway.url) as client:
        await client.send(GET)
        await client.read_response()
        await client.send(build_json(ROUTE + "lose", b'{"x":"%b"}' % (b"x" * size), method="PUT"))
        assert (await client.read_response()).status == status
        assert losses(upstream) == (2 if status == 200 else 1)
        assert upstream.last.body == b'{"x":"%b","a":1}' % (b"x" * size)


async def test_a_body_that_streams_through_is_not_repeated(gateway: Gateway, table: MemoryTable) -> None:
    """Even a small one: by the time it is known to be, it has left."""

    async def script(request: RawRequest, answering: Answering) -> None:
        if request.values("transfer-encoding"):
            answering.close()
        else:
            await answering.send(OK)

    async with ScriptedUpstream() as upstream, await RawClient.connect(gateway.url) as client:
        upstream.on_head = script
        register(table, upstream.url)
        await client.send(GET)
        await client.read_response()
        await client.send(build_request("PUT", ROUTE + "lose", "Transfer-Encoding: chunked") + b"1\r\nx\r\n")
        assert code_of(await client.read_response()) == (502, "upstream_closed")
        assert len(upstream.requests) == 2


# Connecting


class Front:
    """A TCP port before a provider; its first connections are reset once they have sent something."""

    def __init__(self, upstream: ScriptedUpstream, resets: int) -> None:
        self.connections = 0
        self._upstream = upstream
        self._resets = resets
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Front":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"https://localhost:{self._server.sockets[0].getsockname()[1]}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        data = await reader.read(65536)
        if self.connections <= self._resets:
            writer.transport.abort()
            return
        back, forth = await asyncio.open_connection("127.0.0.1", self._upstream.port)
        forth.write(data)
        await asyncio.gather(_copy(reader, forth), _copy(back, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        pass
    finally:
        writer.close()


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(("resets", "status"), [(1, 200), (2, 502)])
async def test_a_connection_that_fails_before_anything_is_sent_is_tried_once_more(
    table: MemoryTable, tmp_path: Path, resets: int, status: int, streams: bool
) -> None:
    """Whatever the request is: a POST, or a body that streams through; nothing of it has left."""
    authority = Authority(tmp_path)
    async with (
        ScriptedUpstream(tls=authority.server()) as upstream,
        Front(upstream, resets) as front,
        Gateway(table, tls=authority.trusting()) as gateway,
        await RawClient.connect(gateway.url) as client,
    ):
        register(table, front.url)
        if streams:
            await client.send(build_request("POST", ROUTE + "x", "Transfer-Encoding: chunked") + b"2\r\n{}\r\n")
            if status == 200:
                await eventually(lambda: front.connections == resets + 1)
                await client.send(b"3\r\nxyz\r\n0\r\n\r\n")
        else:
            await client.send(build_request("POST", ROUTE + "x", body=b"{}xyz"))
        response = await client.read_response()
        assert response.status == status
        assert front.connections == 2
        if status == 200:
            assert [request.body for request in upstream.requests] == [b"{}xyz"]
        else:
            assert code_of(response) == (502, "connect_failed")
            assert not upstream.requests


async def test_a_streaming_body_where_nobody_listens(gateway: Gateway, table: MemoryTable) -> None:
    register(table, "http://127.0.0.1:1")
    async with await RawClient.connect(gateway.url) as client:
        await client.send(build_request("POST", ROUTE + "x", "Transfer-Encoding: chunked") + b"2\r\n{}\r\n")
        assert code_of(await client.read_response()) == (502, "connect_failed")


async def test_a_certificate_that_is_refused_is_not_tried_again(table: MemoryTable, tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(tls=Authority(tmp_path).server()) as upstream,
        Front(upstream, 0) as front,
        Gateway(table, tls=ssl.create_default_context()) as gateway,
    ):
        register(table, front.url)
        assert code_of(await exchange(gateway.url, POST)) == (502, "tls_failed")
        assert front.connections == 1


# Names


def at(*addresses: tuple[str, int]) -> list[Address]:
    return [(2, address) for address in addresses]


@asynccontextmanager
async def two_homes(table: MemoryTable) -> AsyncIterator[tuple[ScriptedUpstream, ScriptedUpstream]]:
    """A provider by name, and the two addresses between which it moves, with the same port."""
    async with (
        ScriptedUpstream() as former,
        ScriptedUpstream(host="127.0.0.2", bind_port=former.port) as latter,
    ):
        register(table, f"http://provider.test:{former.port}")
        yield former, latter


async def test_new_connections_follow_the_name(table: MemoryTable) -> None:
    home = "127.0.0.1"
    resolver = Resolver(lambda _, port: at((home, port)), found_s=0.3)
    async with two_homes(table) as (former, latter), Gateway(table, resolver=resolver) as gateway:
        for upstream in (former, latter):
            upstream.script = reply_with(OK.replace(b"Content-Type", b"Connection: close\r\nContent-Type"))
        assert (await exchange(gateway.url, GET)).status == 200
        assert (len(former.requests), len(latter.requests)) == (1, 0)
        home = "127.0.0.2"

        async def moved() -> bool:
            assert (await exchange(gateway.url, GET)).status == 200
            return bool(latter.requests)

        await eventually(moved, 10)
        before = len(former.requests)
        for _ in range(5):
            await exchange(gateway.url, GET)
        assert len(former.requests) == before


async def test_busy_connections_to_a_former_address_end_with_their_age(table: MemoryTable) -> None:
    home = "127.0.0.1"
    resolver = Resolver(lambda _, port: at((home, port)), found_s=0.1)
    limits = PoolLimits(idle_http_s=60, max_age_s=1)
    async with (
        two_homes(table) as (former, latter),
        Gateway(table, resolver=resolver, pool_limits=limits) as gateway,
        await RawClient.connect(gateway.url) as client,
    ):

        async def ask() -> bool:
            await client.send(GET)
            assert (await client.read_response()).status == 200
            return bool(latter.requests)

        assert not await ask()
        home = "127.0.0.2"
        await eventually(ask, 10)
        assert former.connections == 1
        await eventually(lambda: former.open_connections == 0)


async def test_a_name_that_cannot_be_resolved_is_asked_again_after_a_second(table: MemoryTable) -> None:
    asked: list[float] = []
    found: list[Address] = []

    def ask(_: str, port: int) -> list[Address]:
        asked.append(time.monotonic())
        if not found:
            raise OSError("no such name")
        return found

    async with ScriptedUpstream() as upstream, Gateway(table, resolver=Resolver(ask)) as gateway:
        register(table, f"http://provider.test:{upstream.port}")
        for _ in range(3):
            assert code_of(await exchange(gateway.url, GET)) == (502, "connect_failed")
        if time.monotonic() - asked[0] < 0.9:
            assert len(asked) == 1
        found += at(("127.0.0.1", upstream.port))

        async def reached() -> bool:
            return (await exchange(gateway.url, GET)).status == 200

        await eventually(reached, 10, interval=0.05)
        assert len(asked) <= (asked[-1] - asked[0]) / 0.9 + 1

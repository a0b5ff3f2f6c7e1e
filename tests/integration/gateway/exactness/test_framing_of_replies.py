"""HEAD, 204, 304, 1xx, HTTP/1.0 and `Connection: close` on either side, replies without length."""

import asyncio

import pytest

from modelport_testing.forwarding_rules import name_of
from modelport_testing.gateway_harness import BASE, Gateway
from modelport_testing.http_parsers import Message, read_replies
from modelport_testing.raw_client import RawClient, RawResponse, build_request
from modelport_testing.scripted_upstream import Answering, RawRequest, ScriptedUpstream, reply_with

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTE = f"{BASE}/provider/openai/-/x"
OK = b"HTTP/1.1 200 OK\r\n"
DATE = b"Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
FRAMES = {b"content-length", b"transfer-encoding", b"connection"}


def framing_of(response: RawResponse) -> list[bytes]:
    return [line for line in response.lines if name_of(line) in FRAMES]


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("HEAD", b"200 OK"),
        ("HEAD", b"204 No Content"),
        ("HEAD", b"304 Not Modified"),
        ("HEAD", b"404 Not Found"),
        ("GET", b"204 No Content"),
        ("POST", b"204 No Content"),
        ("GET", b"304 Not Modified"),
    ],
)
@pytest.mark.parametrize(
    "framing", [b"", b"Content-Length: 0\r\n", b"content-length: 1234\r\n", b"Transfer-Encoding: chunked\r\n"]
)
async def test_replies_without_a_body(
    gateway: Gateway, upstream: ScriptedUpstream, method: str, status: bytes, framing: bytes
) -> None:
    upstream.script = reply_with(b"HTTP/1.1 " + status + b"\r\n" + framing + DATE + b"\r\n")
    async with await RawClient.connect(gateway.url) as client:
        for _ in range(2):
            await client.send(build_request(method, ROUTE))
            response = await client.read_response(method)
            assert response.status_line == b"HTTP/1.1 " + status
            kept = framing.startswith((b"Content-", b"content-")) and status[:3] != b"204"
            assert framing_of(response) == ([framing[:-2]] if kept else [])
        await client.send(build_request(method, ROUTE, "Connection: close"))
        assert (await client.read_response(method)).head
        assert await client.read_to_end() == b""
    assert len({request.connection for request in upstream.requests}) == 1


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("client_version", ["1.0", "1.1"])
@pytest.mark.parametrize("provider_version", ["1.0", "1.1"])
@pytest.mark.parametrize("client_closes", [False, True])
@pytest.mark.parametrize("provider_closes", [False, True])
async def test_versions_and_connection_options(
    gateway: Gateway,
    upstream: ScriptedUpstream,
    framing: str,
    client_version: str,
    provider_version: str,
    client_closes: bool,
    provider_closes: bool,
) -> None:
    lines = {"length": "Content-Length: 5\r\n", "chunked": "Transfer-Encoding: chunked\r\n", "close": ""}[framing]
    lines += "Connection: close\r\n" if provider_closes else ""
    body = b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n" if framing == "chunked" else b"hello"
    upstream.script = reply_with(
        f"HTTP/{provider_version} 200 OK\r\n{lines}\r\n".encode() + body, closes=framing == "close" or provider_closes
    )
    option = "Connection: close\r\n" if client_closes else ""
    request = f"GET {ROUTE} HTTP/{client_version}\r\nHost: x\r\n{option}\r\n".encode()
    is_last = client_closes or client_version == "1.0"
    async with await RawClient.connect(gateway.url) as client:
        for _ in range(1 if is_last else 2):
            await client.send(request)
            response = await client.read_response()
            assert (response.status_line, response.body) == (b"HTTP/1.1 200 OK", b"hello")
            expected = [b"Content-Length: 5"] if framing == "length" else []
            if framing != "length" and client_version == "1.1":
                expected.append(b"Transfer-Encoding: chunked")
            assert framing_of(response) == expected + ([b"Connection: close"] if is_last else [])
        if is_last:
            assert await client.read_to_end() == b""


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_interim_replies_are_swallowed_in_whatever_pieces_they_come(
    gateway: Gateway, upstream: ScriptedUpstream, version: str
) -> None:
    interim = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: </a>\r\nSet-Cookie: b\r\n\r\nHTTP/1.1 199 X\r\n\r\n"
    )
    whole = interim + OK + b"Content-Length: 5\r\n\r\nhello"

    async def script(request: RawRequest, answering: Answering) -> None:
        size = int(request.values("x-size")[0])
        for start in range(0, len(whole), size):
            await answering.send(whole[start : start + size])
            await asyncio.sleep(0)

    upstream.script = script
    for size in (1, 7, 25, 1000):
        async with await RawClient.connect(gateway.url) as client:
            lines = f"Host: x\r\nX-Size: {size}\r\nConnection: close\r\n\r\n"
            await client.send(f"GET {ROUTE} HTTP/{version}\r\n{lines}".encode())
            assert read_replies(await client.read_to_end(), ["GET"]) == [Message(b"200", b"hello")]


async def test_an_interim_reply_arrives_without_a_final_one(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.script = reply_with(b"HTTP/1.1 103 Early\r\n\r\n", closes=True)
    async with await RawClient.connect(gateway.url) as client:
        await client.send(build_request("POST", ROUTE, body=b"{}"))
        response = await client.read_response()
        assert response.status == 502
        assert b"upstream_closed" in response.body


@pytest.mark.parametrize("lines", [b"Connection: upgrade\r\nUpgrade: websocket\r\n", b""])
async def test_switching_protocols_is_a_502(gateway: Gateway, upstream: ScriptedUpstream, lines: bytes) -> None:
    upstream.script = reply_with(b"HTTP/1.1 101 X\r\n" + lines + b"\r\n" + b"\x81\x05hello")
    async with await RawClient.connect(gateway.url) as client:
        for _ in range(2):
            await client.send(build_request("GET", ROUTE, "Connection: upgrade", "Upgrade: h2c"))
            response = await client.read_response()
            assert response.status == 502
            assert b"upstream_protocol" in response.body


async def test_a_reply_to_an_http_10_client_that_breaks_off_ends_in_a_reset(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    seen = asyncio.Event()

    async def script(_: RawRequest, answering: Answering) -> None:
        await answering.send(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await seen.wait()
        answering.close()

    upstream.script = script
    async with await RawClient.connect(gateway.url) as client:
        await client.send(f"GET {ROUTE} HTTP/1.0\r\n\r\n".encode())
        await client.reader.readuntil(b"hello")
        seen.set()
        with pytest.raises(ConnectionResetError):
            await client.reader.read()

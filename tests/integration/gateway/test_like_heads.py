"""Requests whose heads are alike come over one connection: each is served as if it were alone."""

import random

import pytest

from modelport_gateway.parse.connection import ClientConnection
from modelport_testing.gateway_harness import BASE, Gateway
from modelport_testing.raw_client import RawClient, build_request, exchange
from modelport_testing.scripted_upstream import Answering, RawRequest, ScriptedUpstream

ROUTE = f"{BASE}/provider/openai/-/v1/chat"
HEADERS = (
    ("Authorization: Bearer one", "X-A: 1"),
    ("Authorization: Bearer two", "X-A: 1"),
    ("X-A: 2",),
    ("X-Request-Id: mine", "Idempotency-Key: k"),
    ("Connection: X-A", "X-A: hop"),
)


def request_of(chance: random.Random) -> tuple[str, bytes]:
    method = chance.choice(["POST", "POST", "POST", "GET"])
    lines = list(chance.choice(HEADERS[:2] if chance.random() < 0.8 else HEADERS))
    body = chance.randbytes(chance.choice([0, 1, 9, 10, 11, 300])) if method == "POST" else b""
    query = chance.choice(["", "", "", "?key=1"])
    if body and chance.random() < 0.2:
        lines.append("Transfer-Encoding: chunked")
        return method, build_request(method, ROUTE + query, *lines) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    if method == "POST":
        lines.insert(chance.choice([0, 0, 1]), chance.choice(["Content-Length", "content-length"]) + f": {len(body)}")
    return method, build_request(method, ROUTE + query, *lines) + body


def shown(requests: list[RawRequest]) -> list[tuple[bytes, bytes]]:
    return [(request.head, request.body) for request in requests]


@pytest.mark.parametrize("seed", range(6))
async def test_each_of_many_like_requests_is_its_own(gateway: Gateway, upstream: ScriptedUpstream, seed: int) -> None:
    chance = random.Random(seed)
    requests = [request_of(chance) for _ in range(60)]
    for method, text in requests:
        assert (await exchange(gateway.url, text, method)).status == 200
    alone = shown(upstream.requests)
    upstream.requests.clear()
    async with await RawClient.connect(gateway.url) as client:
        for method, text in requests:
            if chance.random() < 0.2 and b"chunked" not in text:  # a chunked body that is here whole gets a length
                cut = chance.randrange(1, len(text))
                await client.send(text[:cut])
                text = text[cut:]
            await client.send(text)
            assert (await client.read_response(method)).status == 200
    assert shown(upstream.requests) == alone
    upstream.requests.clear()
    async with await RawClient.connect(gateway.url) as client:
        await client.send(b"".join(text for _, text in requests))
        for method, _ in requests:
            assert (await client.read_response(method)).status == 200
    assert shown(upstream.requests) == alone


async def test_an_idle_connection_forgets_its_head(gateway: Gateway) -> None:
    async def connection() -> ClientConnection:
        (found,) = gateway.plane.connections
        return found

    async def tick(later_s: float) -> None:
        found = await connection()
        found.check_time(gateway.plane.context.clock.now + later_s)

    async with await RawClient.connect(gateway.url) as client:
        for _ in range(2):
            await client.send(build_request("GET", ROUTE, "Authorization: Bearer one"))
            assert (await client.read_response()).status == 200
            found = await gateway.call(connection)
            await gateway.call(lambda: tick(4))
            assert found.former is not None
            await gateway.call(lambda: tick(6))
            assert found.former is None


def reply_to(number: int, method: bytes) -> tuple[bytes, bytes]:
    """Return a reply and what the client should get of it, without the line that the gateway adds."""
    chance = random.Random(number)
    body = chance.randbytes(chance.choice([0, 1, 9, 10, 11]))
    lines = [b"Content-Length: %d" % len(body), b"Date: today", chance.choice([b"X-A: 1", b"X-A: 1", b"X-A: 2"])]
    if chance.random() < 0.3:
        lines.reverse()
    status = b"304 Not Modified" if chance.random() < 0.1 else b"200 OK"
    head = b"HTTP/1.1 " + status + b"\r\n" + b"\r\n".join(lines)
    shown_body = b"" if method == b"HEAD" or status[:1] == b"3" else body
    dropped = b"" if chance.random() < 0.5 else b"\r\nSet-Cookie: s=%d" % chance.choice([1, 2])
    interim = b"HTTP/1.1 103 Early Hints\r\n\r\n" if chance.random() < 0.1 else b""
    return interim + head + dropped + b"\r\n\r\n" + shown_body, head + b"\r\n\r\n" + shown_body


@pytest.mark.parametrize("seed", range(6))
async def test_each_of_many_like_replies_is_its_own(gateway: Gateway, upstream: ScriptedUpstream, seed: int) -> None:
    count = 60

    async def answer(request: RawRequest, answering: Answering) -> None:
        number = int(request.values("X-Number")[0])
        await answering.send(reply_to(number, request.method)[0])

    upstream.script = answer
    async with await RawClient.connect(gateway.url) as client:
        for number in range(seed * count, (seed + 1) * count):
            method = "HEAD" if number % 7 == 0 else "GET"
            await client.send(build_request(method, ROUTE, f"X-Number: {number}"))
            got = await client.read_response(method)
            lines = [line for line in got.lines if not line.startswith(b"x-modelport-request-id: ")]
            text = b"\r\n".join([got.status_line, *lines]) + b"\r\n\r\n" + got.body
            assert text == reply_to(number, method.encode())[1]
    assert {request.connection for request in upstream.requests} == {1}

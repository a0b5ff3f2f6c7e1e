"""What clients do: refused messages, pipelines, slow heads, expectations, leaving early."""

import asyncio
import json

import pytest

from modelport_testing.gateway_harness import BASE, Gateway
from modelport_testing.polling import eventually
from modelport_testing.raw_client import RawClient, build_request, exchange
from modelport_testing.scripted_upstream import OK, Answering, RawRequest, ScriptedUpstream

ROUTE = f"{BASE}/provider/openai/-/"
HEAD = f"POST {ROUTE}x HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (f"GET {ROUTE}../admin HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (f"GET {ROUTE}a%2F%2e%2E%2Fadmin HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (f"GET {ROUTE}a/..;x/admin HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (f"GET {ROUTE}a/..%5cadmin HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (f"GET {BASE}/provider/Not_a_Name/-/x HTTP/1.1\r\nHost: a\r\n\r\n", 422),
        (f"GET {BASE[:-7]}-/provider/openai/-/x HTTP/1.1\r\nHost: a\r\n\r\n", 422),
        (f"{HEAD}Expect: a-miracle\r\nContent-Length: 1\r\n\r\nx", 417),
    ],
)
async def test_what_must_not_be_forwarded_is_refused(
    gateway: Gateway, upstream: ScriptedUpstream, request_text: str, status: int
) -> None:
    smuggled = build_request("GET", ROUTE + "smuggled")
    async with await RawClient.connect(gateway.url) as client:
        await client.send(request_text.encode("latin-1") + smuggled)
        response = await client.read_response(request_text.split(" ")[0])
        assert response.status == status
        assert response.value("connection") == b"close"
        assert json.loads(response.body)["error"]["message"]
        assert await client.read_to_end() == b""
    assert not [request for request in upstream.requests if b"smuggled" in request.target]


async def test_a_refusal_answers_the_request_it_refuses(gateway: Gateway) -> None:
    refused = f"{BASE}/provider/Not_a_Name/-/x"
    named = await exchange(gateway.url, build_request("GET", f"{refused}?key=of-the-client", "X-Request-Id: mine"))
    assert named.value("x-request-id") == named.value("x-modelport-request-id") == b"mine"
    async with await RawClient.connect(gateway.url) as client:
        await client.send(build_request("HEAD", refused))
        assert (await client.read_response("HEAD")).status == 422
        assert await client.read_to_end() == b""
    await eventually(lambda: len(gateway.access_log.splitlines()) == 2)
    records = [json.loads(line) for line in gateway.access_log.splitlines()]
    assert [(record["method"], record["path"]) for record in records] == [("GET", refused), ("HEAD", refused)]
    assert records[0]["id"] == "mine"


async def test_h2c_with_a_body_is_one_request(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    smuggled = build_request("GET", ROUTE + "smuggled")
    lines = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA")
    after = build_request("GET", ROUTE + "after")
    for whole in (
        build_request("POST", ROUTE + "outer", *lines, body=smuggled),
        build_request("POST", ROUTE + "outer", *lines, "Transfer-Encoding: chunked")
        + b"%x\r\n%b\r\n0\r\n\r\n" % (len(smuggled), smuggled),
    ):
        async with await RawClient.connect(gateway.url) as client:
            await client.send(whole + after)
            assert [(await client.read_response()).status for _ in range(2)] == [200, 200]
        outer, second = upstream.requests[-2:]
        assert (outer.target, outer.body, second.target) == (b"/v1/outer", smuggled, b"/v1/after")
        assert not outer.values("upgrade") + outer.values("http2-settings") + outer.values("connection")


async def test_pipelined_requests_are_answered_in_order(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    async def script(request: RawRequest, answering: Answering) -> None:
        body = request.target + b" " + request.body
        await answering.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    upstream.script = script
    targets = [f"{ROUTE}{index}" if index % 3 else f"/asgi/{index}" for index in range(60)]
    async with await RawClient.connect(gateway.url) as client:
        await client.send(b"".join(build_request("POST", target, body=b"body") for target in targets))
        for index, target in enumerate(targets):
            expected = f"/v1/{index} body" if index % 3 else f"asgi POST {target} body"
            assert (await client.read_response()).body == expected.encode()


async def test_a_thousand_refused_requests_in_one_read(gateway: Gateway) -> None:
    one = build_request("GET", f"{BASE}/provider/nobody/-/x")
    async with await RawClient.connect(gateway.url) as client:
        await client.send(one * 1000)
        for _ in range(1000):
            assert (await client.read_response()).status == 404


async def test_an_upload_streams_through(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def on_head(request: RawRequest, answering: Answering) -> None:
        for _ in range(3):
            arrived.put_nowait(await answering.reader.readexactly(5))
        await answering.send(OK)

    upstream.on_head = on_head
    async with await RawClient.connect(gateway.url) as client:
        await client.send(f"{HEAD}Content-Length: 15\r\n\r\n".encode())
        for piece in (b"first", b"secnd", b"third"):
            await client.send(piece)
            assert await asyncio.wait_for(arrived.get(), 5) == piece
        assert (await client.read_response()).status == 200
    assert upstream.last.values("content-length") == [b"15"]


async def test_a_chunked_upload_streams_through(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    async with await RawClient.connect(gateway.url) as client:
        await client.send(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n".encode())
        await eventually(lambda: len(upstream.requests) == 1, 5)
        await client.send(b"6\r\nsecond\r\n0\r\n\r\n")
        assert (await client.read_response()).status == 200
    assert upstream.last.body == b"firstsecond"
    assert upstream.last.values("transfer-encoding") == [b"chunked"]


async def test_a_large_body_both_ways(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    async def script(request: RawRequest, answering: Answering) -> None:
        await answering.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(request.body), request.body))

    upstream.script = script
    body = bytes(range(256)) * 20_000
    async with await RawClient.connect(gateway.url) as client:
        for _ in range(2):
            sending = asyncio.ensure_future(client.send(build_request("POST", ROUTE + "x", body=body)))
            assert (await client.read_response()).body == body
            await sending


async def test_continue_is_answered_here_and_never_forwarded(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    async with await RawClient.connect(gateway.url) as client:
        await client.send(f"{HEAD}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n".encode())
        assert await client.read_head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"hi")
        assert (await client.read_response()).status == 200
        await client.send(f"{HEAD}Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi".encode())
        assert (await client.read_response()).status == 200
    assert upstream.last.values("expect") == []


async def test_a_reply_before_the_upload_ends_is_relayed_at_once(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    async def on_head(_: RawRequest, answering: Answering) -> None:
        await answering.send(b"HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno")
        await answering.client_closed()
        answering.close()

    upstream.on_head = on_head
    async with await RawClient.connect(gateway.url) as client:
        await client.send(f"{HEAD}Content-Length: 100000\r\n\r\nabc".encode())
        response = await client.read_response()
        assert (response.status, response.body) == (413, b"no")
        assert response.value("connection") == b"close"
        assert await client.read_to_end() == b""


@pytest.mark.parametrize("beginning", ["", "GET / HT", f"GET {ROUTE}x HTTP/1.1\r\nHost: x\r\n"])
async def test_a_head_that_does_not_come_in_time(gateway: Gateway, beginning: str) -> None:
    async with await RawClient.connect(gateway.url) as client:
        await client.send(beginning.encode())
        answer = await client.read_to_end(timeout_s=5)
    assert answer.startswith(b"HTTP/1.1 408 ") if beginning else answer == b""


async def test_a_head_in_single_bytes(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    async with await RawClient.connect(gateway.url) as client:
        for byte in build_request("GET", ROUTE + "x"):
            await client.send(bytes((byte,)))
        assert (await client.read_response()).status == 200


@pytest.mark.parametrize("body", [b"", b"\r\n\r\n"])
async def test_a_client_that_leaves_before_the_first_byte_cancels(
    gateway: Gateway, upstream: ScriptedUpstream, body: bytes
) -> None:
    closed = asyncio.Event()

    async def script(_: RawRequest, answering: Answering) -> None:
        await answering.client_closed()
        closed.set()
        answering.close()

    upstream.script = script
    client = await RawClient.connect(gateway.url)
    await client.send(build_request("POST", ROUTE + "x", body=body))
    await eventually(lambda: len(upstream.requests) == 1, 5)
    await client.close()
    await asyncio.wait_for(closed.wait(), 5)
    await eventually(lambda: b'"status":499,"code":"client_closed"' in gateway.access_log, 5)


async def test_a_client_that_leaves_mid_stream_cancels(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    closed = asyncio.Event()

    async def script(_: RawRequest, answering: Answering) -> None:
        await answering.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await answering.send_chunk(b"data: 1\n\n")
        await answering.client_closed()
        closed.set()
        answering.close()

    upstream.script = script
    client = await RawClient.connect(gateway.url)
    await client.send(build_request("POST", ROUTE + "x", body=b"{}"))
    await client.read_head()
    client.abort()
    await asyncio.wait_for(closed.wait(), 5)


async def test_a_client_that_leaves_mid_upload_cancels(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    client = await RawClient.connect(gateway.url)
    await client.send(f"{HEAD}Content-Length: 100\r\n\r\nabc".encode())
    await eventually(lambda: len(upstream.requests) == 1, 5)
    await client.close()
    await eventually(lambda: upstream.open_connections == 0, 5)


async def test_the_access_log_holds_no_query_and_no_credential(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    request = build_request("GET", ROUTE + "x?key=canary", "Authorization: Bearer canary", 'X-Request-Id: a"b')
    response = await exchange(gateway.url, request)
    made = response.value("x-modelport-request-id")
    await eventually(lambda: bytes(gateway.access_log).endswith(b"\n"), 5)
    record = json.loads(bytes(gateway.access_log).splitlines()[-1])
    assert record["path"] == f"{ROUTE}x"
    assert (record["status"], record["provider"], record["in"], record["out"]) == (200, "default/openai", 0, 15)
    assert made is not None
    assert record["id"] == made.decode()
    # Also where the query is part of an encoded path, and where the request is refused before it is read so far.
    for target in (ROUTE + "v1%2Fx%3Fkey=canary", ROUTE + "v1%2F..%2Fx%3Fkey%3Dcanary", "http://u:canary@h/x%3fcanary"):
        await exchange(gateway.url, build_request("GET", target))
    await eventually(lambda: gateway.access_log.count(b"\n") >= 3, 5)
    assert b"canary" not in gateway.access_log


async def test_empty_lines_before_a_request(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    request = build_request("GET", ROUTE + "x")
    async with await RawClient.connect(gateway.url) as client:
        for byte in b"\r\n\r\n":
            await client.send(bytes((byte,)))
        for before in (b"\r\n\r\n", b""):
            await client.send(before + request)
            assert (await client.read_response()).status == 200
    async with await RawClient.connect(gateway.url) as client:
        await client.send(b"\r\n\n\n" + request)
        assert (await client.read_response()).status == 400

"""The provider route: what the client sends is what the provider gets, and back."""

import json

import pytest

from modelport_contracts.records import ProviderRecord
from modelport_testing.gateway_harness import BASE, Gateway, MemoryTable
from modelport_testing.raw_client import RawClient, build_json, build_request, exchange
from modelport_testing.scripted_upstream import ScriptedUpstream, reply_with

ROUTE = f"{BASE}/provider/openai/-/"


def provider(upstream: ScriptedUpstream, **changes: object) -> bytes:
    fields: dict[str, object] = {
        "id": "model-provider-1",
        "workspace": "default",
        "name": "openai",
        "host_url": f"{upstream.url}/v1",
        "status": "READY",
        "generation": 1,
    }
    return ProviderRecord.model_validate(fields | changes).payload()


async def test_headers_keep_order_case_and_duplicates(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    sent = [
        "User-Agent: OpenAI/Python 2.0",
        "anthropic-beta: one",
        "X-Custom:   spaced  ",
        "anthropic-beta: two",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "ACCEPT-ENCODING: gzip, br, zstd",
        "X-Latin: caf\xe9",
    ]
    dropped = [
        "Authorization: Bearer client",
        "x-api-key: client",
        "API-KEY: client",
        "X-Goog-Api-Key: client",
        "Ocp-Apim-Subscription-Key: client",
        "Cookie: a=b",
        "Proxy-Authorization: Basic x",
        "Keep-Alive: timeout=5",
        "TE: trailers",
        "Connection: keep-alive, X-Named",
        "X-Named: for the gateway",
        "Forwarded: for=1.2.3.4",
        "X-Forwarded-For: 1.2.3.4",
        "X-Real-IP: 1.2.3.4",
        "True-Client-IP: 1.2.3.4",
        "CF-Connecting-IP: 1.2.3.4",
        "x-nmp-user: me",
        "x-modelport-service-token: stolen",
    ]
    lines = [line for pair in zip(dropped, sent + [""] * len(dropped), strict=False) for line in pair if line]
    response = await exchange(gateway.url, build_json(ROUTE + "chat/completions", b"{}", *lines))
    assert response.status == 200
    head = upstream.last.lines
    assert head[0] == f"Host: 127.0.0.1:{upstream.port}".encode()
    assert head[1:-2] == [b"Content-Type: application/json", *(line.encode("latin-1") for line in sent)]
    assert head[-2:] == [b"CDN-Loop: modelport-test", b"Content-Length: 2"]
    assert b"client" not in upstream.last.head
    assert b"stolen" not in upstream.last.head


async def test_a_reply_keeps_its_bytes(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    kept = (
        b"content-TYPE: application/json\r\nX-Two: 1\r\nServer: theirs\r\nx-two: 2\r\nX-Request-Id: req_1\r\n"
        b"Date: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Encoding: gzip\r\nRetry-After: 7\r\n"
    )
    dropped = (
        b"Set-Cookie: a=b\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nAlt-Svc: h3\r\n"
        b"Strict-Transport-Security: max-age=1\r\nX-Accel-Redirect: /secret\r\nX-Sendfile: /etc/passwd\r\n"
        b"x-modelport-error-origin: gateway\r\nNEL: {}\r\nReport-To: {}\r\nClear-Site-Data: *\r\n"
        b"Proxy-Authenticate: Basic\r\n"
    )
    body = b"\x1f\x8b\x08\x00\xff\xfe"
    upstream.script = reply_with(
        b"HTTP/1.1 429 Slow Down Please\r\n" + kept + dropped + b"Content-Length: 6\r\n\r\n" + body
    )
    request = build_request("GET", ROUTE + "models", "X-Request-Id: mine-1")
    response = await exchange(gateway.url, request)
    assert response.status_line == b"HTTP/1.1 429 Slow Down Please"
    assert response.lines == [
        *kept.split(b"\r\n")[:-1],
        b"Content-Length: 6",
        b"x-modelport-request-id: mine-1",
        b"x-modelport-error-origin: upstream",
    ]
    assert response.body == body


async def test_a_missing_date_is_added_and_an_empty_reason_stays_empty(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.script = reply_with(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n")
    response = await exchange(gateway.url, build_request("GET", ROUTE + "models"))
    assert response.status_line == b"HTTP/1.1 200 "
    assert response.value("date") is not None


@pytest.mark.parametrize(
    ("tail", "target"),
    [
        ("chat/completions?a=1&a=2&b=%20x&c", "/v1/chat/completions?a=1&a=2&b=%20x&c"),
        ("v1/chat/completions", "/v1/chat/completions"),
        ("v1", "/v1"),
        ("v1beta/x", "/v1/v1beta/x"),
        ("", "/v1/"),
        ("///models", "/v1/models"),
        ("v1%2Fchat%2Fcompletions", "/v1/chat/completions"),
        ("v1%2Fmodels%3Flimit%3D5%26q%3Da%2520b?page=2", "/v1/models?limit=5&q=a%20b&page=2"),
        ("files/a%2Fb%252Fc%C3%A9", "/v1/files/a%2Fb%252Fc%C3%A9"),
        ("a/-/b", "/v1/a/-/b"),
        ("models?u=/-/x&v=../..", "/v1/models?u=/-/x&v=../.."),
        ("chat/gpt-4.1..mini/x", "/v1/chat/gpt-4.1..mini/x"),
    ],
)
async def test_the_target(gateway: Gateway, upstream: ScriptedUpstream, tail: str, target: str) -> None:
    response = await exchange(gateway.url, build_request("GET", ROUTE + tail))
    assert response.status == 200
    assert upstream.last.target == target.encode()


@pytest.mark.parametrize(
    ("method", "status", "extra"),
    [
        ("HEAD", b"200 OK", b"Content-Length: 1234\r\n"),
        ("HEAD", b"200 OK", b"Transfer-Encoding: chunked\r\n"),
        ("GET", b"204 No Content", b""),
        ("GET", b"304 Not Modified", b"Content-Length: 99\r\nETag: x\r\n"),
    ],
)
async def test_replies_without_a_body_leave_both_connections_usable(
    gateway: Gateway, upstream: ScriptedUpstream, method: str, status: bytes, extra: bytes
) -> None:
    upstream.script = reply_with(b"HTTP/1.1 " + status + b"\r\n" + extra + b"\r\n")
    async with await RawClient.connect(gateway.url) as client:
        for _ in range(3):
            await client.send(build_request(method, ROUTE + "models"))
            response = await client.read_response(method)
            assert response.status_line == b"HTTP/1.1 " + status
            assert response.values("content-length") == ([extra[16:].split(b"\r\n")[0]] if b"Length" in extra else [])
    assert upstream.connections == 1
    assert upstream.last.values("content-length") == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_is_forwarded_with_its_body(
    gateway: Gateway, upstream: ScriptedUpstream, method: str
) -> None:
    for body in (b"", b"\x00\xffanything"):
        assert (await exchange(gateway.url, build_request(method, ROUTE + "x", body=body))).status == 200
        assert upstream.last.method == method.encode()
        assert upstream.last.body == body
    lengths = upstream.requests[0].values("content-length")
    assert lengths == ([b"0"] if method in ("POST", "PUT", "PATCH") else [])


async def test_a_chunked_request_arrives_whole_and_without_trailers(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    chunked = build_request("POST", ROUTE + "x", "Transfer-Encoding: chunked", "Trailer: X-T")
    body = b'5;ext="a"\r\nhello\r\n7\r\n\r\n\r\nyou\r\n0\r\nX-T: 1\r\nAuthorization: Bearer evil\r\n\r\n'
    async with await RawClient.connect(gateway.url) as client:
        await client.send(chunked + body + build_request("GET", ROUTE + "second"))
        assert (await client.read_response()).status == 200
        assert (await client.read_response()).status == 200
    first, second = upstream.requests
    assert first.body == b"hello\r\n\r\nyou"
    assert b"evil" not in first.head + first.framed
    assert second.target == b"/v1/second"


async def test_a_chunked_request_in_single_bytes(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    data = build_request("POST", ROUTE + "x", "Transfer-Encoding: chunked") + b"3\r\na\r\n\r\n1\r\n!\r\n0\r\n\r\n"
    async with await RawClient.connect(gateway.url) as client:
        for index in range(len(data)):
            await client.send(data[index : index + 1])
        assert (await client.read_response()).status == 200
    assert upstream.last.body == b"a\r\n!"


async def test_a_reply_that_ends_with_the_connection(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.script = reply_with(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nas long as it takes", closes=True)
    async with await RawClient.connect(gateway.url) as client:
        for _ in range(2):
            await client.send(build_request("GET", ROUTE + "x"))
            response = await client.read_response()
            assert response.body == b"as long as it takes"
            assert response.values("transfer-encoding") == [b"chunked"]
    assert upstream.connections == 2


async def test_an_http_10_client_gets_no_chunks(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.script = reply_with(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
    )
    async with await RawClient.connect(gateway.url) as client:
        await client.send(f"GET {ROUTE}x HTTP/1.0\r\n\r\n".encode())
        answer = await client.read_to_end()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b"abcdef"
    assert b"chunked" not in head
    assert b"Connection: close" in head


async def test_extra_headers_and_bodies(gateway: Gateway, upstream: ScriptedUpstream, table: MemoryTable) -> None:
    extras = {
        "default_extra_headers": {"anthropic-version": "2023-06-01", "X-Both": "no"},
        "required_extra_headers": {"X-Both": "yes"},
        "default_extra_body": {"temperature": 0.5, "user": "x"},
        "required_extra_body": {"store": False},
    }
    table.put("provider/default/openai", provider(upstream, **extras))
    body = b'{ "user" : "me",\n "store":true, "n": 1e2 }'
    request = build_json(ROUTE + "x", body, "Anthropic-Version: mine", "x-both: client")
    assert (await exchange(gateway.url, request)).status == 200
    assert upstream.last.body == b'{ "user" : "me",\n "store":false, "n": 1e2 ,"temperature":0.5}'
    assert upstream.last.values("anthropic-version") == [b"mine"]
    assert upstream.last.values("x-both") == [b"yes"]
    for other in (b"[1]", b"{broken"):
        assert (await exchange(gateway.url, build_json(ROUTE + "x", other))).status == 200
        assert upstream.last.body == other
    assert upstream.last.values("anthropic-version") == [b"2023-06-01"]
    twice = await exchange(gateway.url, build_json(ROUTE + "x", b'{"a":1,"a":2}'))
    assert (twice.status, json.loads(twice.body)["error"]["code"]) == (400, "duplicate_member")


@pytest.mark.parametrize("status", [b"302 Found", b"307 Temporary Redirect"])
@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("{origin}/v1/files/1?x=y", ROUTE + "files/1?x=y"),
        ("/v1/files/1", ROUTE + "files/1"),
        ("/other", "{origin}/other"),
        ("https://elsewhere.test/v1/x", "https://elsewhere.test/v1/x"),
        ("files/1", "files/1"),
        ("http://169.254.169.254/latest/meta-data/", "http://169.254.169.254/latest/meta-data/"),
    ],
)
async def test_redirects_are_relayed_never_followed(
    gateway: Gateway, upstream: ScriptedUpstream, location: str, expected: str, status: bytes
) -> None:
    sent = location.format(origin=upstream.url).encode()
    upstream.script = reply_with(b"HTTP/1.1 %b\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % (status, sent))
    response = await exchange(gateway.url, build_request("GET", ROUTE + "x"))
    assert response.status == int(status[:3])
    assert response.value("location") == expected.format(origin=upstream.url).encode()
    assert len(upstream.requests) == 1


async def test_an_unknown_provider(gateway: Gateway) -> None:
    response = await exchange(gateway.url, build_request("GET", f"{BASE}/provider/nobody/-/x"))
    assert response.status == 404
    assert response.value("x-modelport-error-origin") == b"gateway"
    assert response.value("x-request-id") == response.value("x-modelport-request-id")
    body = json.loads(response.body)
    assert body["type"] == "error"
    assert body["error"]["code"] == "provider_not_found"
    assert "nobody" in body["detail"]


async def test_a_provider_that_is_not_ready_is_still_called(
    gateway: Gateway, upstream: ScriptedUpstream, table: MemoryTable
) -> None:
    table.put("provider/default/openai", provider(upstream, status="ERROR"))
    assert (await exchange(gateway.url, build_request("GET", ROUTE + "x"))).status == 200


async def test_the_asked_revision(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    async def ask(revision: str) -> tuple[int, str]:
        request = build_request("GET", ROUTE + "models", f"x-modelport-min-revision: {revision}")
        response = await exchange(gateway.url, request)
        return response.status, "" if response.status == 200 else json.loads(response.body)["error"]["code"]

    assert await ask("models.1") == (200, "")
    assert await ask("models.2") == (503, "behind")
    assert await ask("nonsense") == (400, "bad_request")
    assert upstream.requests[0].values("x-modelport-min-revision") == []


async def test_what_is_no_inference_path_goes_to_the_app(gateway: Gateway) -> None:
    async with await RawClient.connect(gateway.url) as client:
        for method, target, body in (
            ("GET", "/health/live", b""),
            ("POST", f"{BASE}/virtual-models", b"x" * 200_000),
            ("GET", f"{BASE}/provider/openai/ready", b""),
        ):
            await client.send(build_request(method, target, body=body))
            response = await client.read_response()
            assert response.body == f"asgi {method} {target} ".encode() + body


async def test_a_loop_is_noticed(gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream) -> None:
    loop = build_request("GET", ROUTE + "x", "CDN-Loop: other; v=1, modelport-test;x=y")
    assert (await exchange(gateway.url, loop)).status == 508
    other = build_request("GET", ROUTE + "x", "CDN-Loop: modelport-tester")
    assert (await exchange(gateway.url, other)).status == 200
    assert upstream.last.values("cdn-loop") == [b"modelport-tester", b"modelport-test"]


@pytest.mark.parametrize("host", ["localhost", "127.1", "[::ffff:127.0.0.1]", "0.0.0.0", "[::ffff:0.0.0.0]"])
async def test_the_gateway_is_no_provider_of_its_own(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream, host: str
) -> None:
    table.put("provider/default/openai", provider(upstream, host_url=f"http://{host}:{gateway.port}"))
    response = await exchange(gateway.url, build_request("GET", ROUTE + "x"))
    assert (response.status, json.loads(response.body)["error"]["code"]) == (502, "egress_refused")


@pytest.mark.parametrize("hides", [False, True])
async def test_a_record_that_cannot_be_read_is_the_gateway_s_failure(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream, hides: bool
) -> None:
    table.put("provider/default/broken", b'{"of another": "release"}')
    table.hides = hides
    async with await RawClient.connect(gateway.url) as client:
        await client.send(build_request("GET", f"{BASE}/provider/broken/-/x"))
        response = await client.read_response()
        assert (response.status, json.loads(response.body)["error"]["code"]) == (500, "internal_error")
        await client.send(build_request("GET", f"{BASE}/provider/openai/-/x"))
        assert (await client.read_response()).status == 200
    assert len(upstream.requests) == 1

"""The model and OpenAI routes: the model named by path or body, spliced to the id its provider knows."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from modelport_gateway.admit.admission import Limits
from modelport_testing.gateway_harness import BASE, Gateway, MemoryTable
from modelport_testing.raw_client import RawClient, RawResponse, build_json, build_request, exchange
from modelport_testing.registered import add_model, add_provider, add_virtual_model
from modelport_testing.scripted_upstream import ScriptedUpstream

OPENAI = f"{BASE}/openai/-/v1/chat/completions"
MODEL = f"{BASE}/model/gpt-4/-/v1/chat/completions"
VENDOR_ID = "meta/llama-3.1-8b"


@pytest.fixture
def table(upstream: ScriptedUpstream) -> MemoryTable:
    table = MemoryTable()
    add_provider(table, upstream.url, "openai")
    add_model(table, "gpt-4", ("openai", "gpt-4"))
    add_virtual_model(table, "gpt-4", "default/gpt-4")
    add_model(table, "meta-llama-3-1-8b", ("openai", VENDOR_ID))
    add_virtual_model(table, "meta-llama-3-1-8b", "default/meta-llama-3-1-8b")
    return table


@pytest.fixture(params=["known", "asked"])
async def gateway(table: MemoryTable, request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    table.hides = request.param == "asked"
    async with Gateway(table, limits=Limits(max_read_body=100_000)) as running:
        yield running


def code_of(response: RawResponse) -> tuple[int, str]:
    return response.status, json.loads(response.body)["error"]["code"]


@pytest.mark.parametrize(
    ("named", "served"),
    [
        ("gpt-4", "gpt-4"),
        ("default/gpt-4", "gpt-4"),
        ("meta-llama-3-1-8b", VENDOR_ID),
        ("default/meta-llama-3-1-8b", VENDOR_ID),
        (VENDOR_ID, VENDOR_ID),
        (f"default/{VENDOR_ID}", VENDOR_ID),
    ],
)
async def test_the_openai_route_splices_only_the_model(
    gateway: Gateway, upstream: ScriptedUpstream, named: str, served: str
) -> None:
    pattern = '{ "messages": [ {"role":"user","content":"\\u00e9\\ud83d\\ude00"} ],\n\t"model" : "%s" , "n":1.00e0}'
    async with await RawClient.connect(gateway.url) as client:
        for _ in range(2):
            await client.send(build_json(OPENAI, (pattern % named).encode()))
            assert (await client.read_response()).status == 200
            assert upstream.last.body == (pattern % served).encode()
            assert upstream.last.target == b"/v1/chat/completions"


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b'{"model":"anything","n":1}', b'{"model":"gpt-4","n":1}'),
        (b'{"n":1}', b'{"model":"gpt-4","n":1}'),
        (b" { } ", b' {"model":"gpt-4" } '),
        (b'{"model":null}', b'{"model":"gpt-4"}'),
    ],
)
async def test_the_model_route_sets_the_model(
    gateway: Gateway, upstream: ScriptedUpstream, body: bytes, sent: bytes
) -> None:
    assert (await exchange(gateway.url, build_json(MODEL, body))).status == 200
    assert upstream.last.body == sent
    assert upstream.last.values("content-length") == [str(len(sent)).encode()]


async def test_the_model_route_passes_what_is_no_json(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    form = build_request("POST", MODEL, "Content-Type: multipart/form-data; boundary=x", body=b"--x\xff")
    assert (await exchange(gateway.url, form)).status == 200
    assert upstream.last.body == b"--x\xff"
    assert (await exchange(gateway.url, build_request("GET", f"{BASE}/model/gpt-4/-/v1/models"))).status == 200
    assert upstream.last.target == b"/v1/models"


@pytest.mark.parametrize("route", [OPENAI, MODEL])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[1]", "invalid_json"),
        (b'"x"', "invalid_json"),
        (b'{"model":"gpt-4"', "invalid_json"),
        (b'\xef\xbb\xbf{"model":"gpt-4"}', "invalid_json"),
        (b'{"model":"gpt-4","x":"\xff"}', "invalid_json"),
        (b'{"model":"gpt-4","x":' + b"[" * 20000 + b"]" * 20000 + b"}", "invalid_json"),
        (b'{"model":"gpt-4","model":"gpt-4"}', "duplicate_member"),
        (b'{"model":"gpt-4","m\\u006fdel":"x"}', "duplicate_member"),
        (b'{"model":"gpt-4","Model":"x"}', "ambiguous_model"),
        (b'{"MODEL":"gpt-4"}', "ambiguous_model"),
        (b'{ "a":1,"model":"gpt-4", "a":1 }', "duplicate_member"),
    ],
)
async def test_bodies_in_doubt_are_refused(
    gateway: Gateway, upstream: ScriptedUpstream, route: str, body: bytes, code: str
) -> None:
    assert code_of(await exchange(gateway.url, build_json(route, body))) == (400, code)
    assert not upstream.requests


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (build_json(OPENAI, b'{"n":1}'), 400, "model_required"),
        (build_json(OPENAI, b'{"model":7}'), 400, "model_required"),
        (build_request("POST", OPENAI, body=b'{"model":"gpt-4"}'), 400, "json_body_required"),
        (build_request("GET", OPENAI), 400, "json_body_required"),
        (build_json(OPENAI, b'{"model":"nobody"}'), 404, "model_not_found"),
        (build_json(OPENAI, b'{"model":"%b"}' % (b"x" * 90_000)), 404, "model_not_found"),
        (build_json(OPENAI, b'{"model":"other/gpt-4"}'), 404, "model_not_found"),
        (build_json(OPENAI, b'{"model":"GPT 4"}'), 404, "model_not_found"),
        (build_json(f"{BASE}/model/nobody/-/x", b"{}"), 404, "model_not_found"),
        (build_json(OPENAI, b"x" * 50, "Content-Encoding: gzip"), 415, "content_encoding"),
        (build_json(OPENAI, b'{"model":"%b"}' % (b"x" * 200_000)), 413, "body_too_large"),
    ],
)
async def test_what_names_no_model(gateway: Gateway, request_bytes: bytes, status: int, code: str) -> None:
    assert code_of(await exchange(gateway.url, request_bytes)) == (status, code)


async def test_a_body_that_comes_in_pieces(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    body = b'{"model":"default/gpt-4","x":"%b"}' % (b"y" * 80_000)
    data = build_json(OPENAI, body)
    async with await RawClient.connect(gateway.url) as client:
        for start in range(0, len(data), 16_001):
            await client.send(data[start : start + 16_001])
        assert (await client.read_response()).status == 200
        await client.send(build_json(OPENAI, b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b""))
        await client.send(b'9\r\n{"model":\r\n8\r\n"gpt-4"}\r\n0\r\n\r\n')
        assert (await client.read_response()).status == 200
    assert upstream.requests[0].body == body.replace(b"default/", b"")
    assert upstream.requests[1].body == b'{"model":"gpt-4"}'


async def test_expectations_are_answered_where_the_body_is_read(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    body = b'{"model":"gpt-4"}'
    data = build_json(OPENAI, body, "Expect: 100-continue")
    async with await RawClient.connect(gateway.url) as client:
        await client.send(data[: -len(body)])
        assert await client.read_head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(body)
        assert (await client.read_response()).status == 200


async def test_the_first_ready_provider_serves(
    table: MemoryTable, upstream: ScriptedUpstream, gateway: Gateway
) -> None:
    async with ScriptedUpstream() as second:
        add_provider(table, second.url, "second")
        add_model(table, "both", ("openai", "here"), ("second", "there"))
        add_virtual_model(table, "both", None, ("default/gpt-4", 5), ("default/gone", 0), ("default/both", 1))
        body = build_json(OPENAI, b'{"model":"both"}')
        assert (await exchange(gateway.url, body)).status == 200
        assert upstream.last.body == b'{"model":"here"}'
        add_provider(table, upstream.url, "openai", status="ERROR")
        assert (await exchange(gateway.url, body)).status == 200
        assert second.last.body == b'{"model":"there"}'
        add_provider(table, second.url, "second", status="ERROR")
        assert (await exchange(gateway.url, body)).status == 200
        assert upstream.last.body == b'{"model":"here"}'
        table.remove("provider/default/openai")
        table.remove("provider/default/second")
        response = await exchange(gateway.url, body)
        assert code_of(response) == (503, "no_provider")
        assert response.value("retry-after") == b"1"


async def test_an_unclear_vendor_id(table: MemoryTable, gateway: Gateway) -> None:
    add_model(table, "another", ("openai", VENDOR_ID))
    response = await exchange(gateway.url, build_json(OPENAI, b'{"model":"%b"}' % VENDOR_ID.encode()))
    assert code_of(response) == (404, "model_ambiguous")
    assert b"another, meta-llama-3-1-8b" in response.body


async def test_extras_and_the_model_together(table: MemoryTable, gateway: Gateway, upstream: ScriptedUpstream) -> None:
    extras: dict[str, Any] = {"required_extra_body": {"store": False}, "default_extra_body": {"model": "x", "n": 2}}
    add_provider(table, upstream.url, "openai", **extras)
    assert (await exchange(gateway.url, build_json(OPENAI, b'{"store":1, "model":"gpt-4"}'))).status == 200
    assert upstream.last.body == b'{"store":false, "model":"gpt-4","n":2}'
    assert (await exchange(gateway.url, build_json(MODEL, b"{}"))).status == 200
    assert upstream.last.body == b'{"model":"gpt-4","store":false,"n":2}'


async def test_the_listing(table: MemoryTable, gateway: Gateway, upstream: ScriptedUpstream) -> None:
    add_virtual_model(table, "lonely", "default/nothing")
    add_model(table, "unserved")
    add_virtual_model(table, "unserved", "default/unserved")
    expected = [
        {"id": f"default/{name}", "object": "model", "created": 1_700_000_000, "owned_by": "default"}
        for name in ("gpt-4", "meta-llama-3-1-8b")
    ]
    for tail in ("v1/models", "v1%2Fmodels", "/v1/models?limit=1"):
        response = await exchange(gateway.url, build_request("GET", f"{BASE}/openai/-/{tail}"))
        assert json.loads(response.body) == {"object": "list", "data": expected}
    for tail in ("v1/models/default%2Fgpt-4", "v1/models/gpt-4", "v1%2Fmodels%2Fdefault%2Fgpt-4"):
        response = await exchange(gateway.url, build_request("GET", f"{BASE}/openai/-/{tail}"))
        assert json.loads(response.body) == expected[0]
    for tail in ("v1/models/lonely", "v1/models/other%2Fgpt-4", "v1/models/%00"):
        response = await exchange(gateway.url, build_request("GET", f"{BASE}/openai/-/{tail}"))
        assert code_of(response) == (404, "model_not_found")
    head = await exchange(gateway.url, build_request("HEAD", f"{BASE}/openai/-/v1/models"), "HEAD")
    assert head.status == 200
    assert not upstream.requests

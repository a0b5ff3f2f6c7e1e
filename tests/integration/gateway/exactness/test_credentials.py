"""No credential of a client, and none of the gateway's own, ever reaches a provider that it is not meant for."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from modelport_testing.gateway_harness import BASE, Gateway, MemoryTable
from modelport_testing.polling import eventually
from modelport_testing.raw_client import RawClient, build_request
from modelport_testing.registered import add_model, add_provider, add_secret, add_virtual_model
from modelport_testing.scripted_upstream import Answering, RawRequest, ScriptedUpstream

CANARY = b"canary"
NAMES = [
    "Authorization",
    "Proxy-Authorization",
    "X-Api-Key",
    "Api-Key",
    "X-Goog-Api-Key",
    "Ocp-Apim-Subscription-Key",
    "Cookie",
    "X-Modelport-Service-Token",
    "X-Modelport-Anything",
    "X-Nmp-Principal",
    "X-Nmp-Authorization",
    "X-Provider-Auth",
]
"""What docs/dataplane.md names, the gateway's own header, and the header in which the provider gets its key."""
LINES = [
    line
    for number, name in enumerate(NAMES)
    for line in (
        f"{name}: Bearer {CANARY.decode()}-{number}a",
        f"{name.lower()}:{CANARY.decode()}-{number}b",
        f"{name.upper()}:   {CANARY.decode()}-{number}c\t",
        f"{name.swapcase()}: x, {CANARY.decode()}-{number}d",
    )
]
TRAILERS = "".join(f"{name}: {CANARY.decode()}-trailer\r\n" for name in NAMES)
HOP = ["Connection: close, X-Hop", f"X-Hop: {CANARY.decode()}-hop", f"Keep-Alive: {CANARY.decode()}-hop"]
JSON = b'{"model":"gpt-4"}'


@dataclass
class Setting:
    """A gateway between a vault and two providers, each with a key of its own."""

    gateway: Gateway
    mine: ScriptedUpstream
    other: ScriptedUpstream
    vault: ScriptedUpstream
    table: MemoryTable

    def sent_to_providers(self) -> bytes:
        """All that providers got, in lower case."""
        return b"".join(bytes(one.data) for one in (*self.mine.recordings, *self.other.recordings)).lower()


async def reveal(request: RawRequest, answering: Answering) -> None:
    """Give the key that the request names."""
    name = request.target.split(b"/")[-2].decode()
    body = json.dumps({"name": name, "workspace": "default", "value": f"key-of-{name}"}).encode()
    head = b"HTTP/1.1 200 OK\r\nx-modelport-revision: secrets.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    await answering.send(head + body)


@pytest.fixture(params=["known", "asked"])
async def setting(request: pytest.FixtureRequest) -> AsyncIterator[Setting]:
    async with (
        ScriptedUpstream(records=True) as mine,
        ScriptedUpstream(records=True) as other,
        ScriptedUpstream(reveal, records=True) as vault,
    ):
        table = MemoryTable(hides=request.param == "asked")
        for name, upstream in (("mine", mine), ("other", other)):
            add_secret(table, name)
            form = "X-Provider-Auth: {{ auth_secret }}"
            add_provider(table, upstream.url, name, api_key_secret_name=name, auth_header_format=form)
        add_model(table, "gpt-4", ("mine", "gpt-4"))
        add_virtual_model(table, "gpt-4", "default/gpt-4")
        token = CANARY.decode() + "-service-token"
        async with Gateway(table, secrets_url=vault.url, service_token=token) as gateway:
            yield Setting(gateway, mine, other, vault, table)


def every_route() -> Iterator[tuple[str, bytes]]:
    """Requests in every form that goes out by a way of its own."""
    for kind, target in {
        "provider": f"{BASE}/provider/mine/-/v1/x",
        "encoded": f"{BASE}/provider/mine/-/v1%2Fx%3Fa%3Db",
        "model": f"{BASE}/model/gpt-4/-/v1/x",
        "openai": f"{BASE}/openai/-/v1/x",
        "listing": f"{BASE}/openai/-/v1/models",
        "nobody": f"{BASE}/provider/nobody/-/x",
        "app": "/elsewhere",
    }.items():
        content = "Content-Type: application/json"
        yield f"{kind}: GET", build_request("GET", target, *LINES)
        for method in ("POST", "PUT", "DELETE"):
            yield f"{kind}: {method}", build_request(method, target, *LINES, content, body=JSON)
        long = JSON.replace(b"}", b',"x":"' + b"y" * 100_000 + b'"}')
        yield f"{kind}: a long body", build_request("POST", target, *LINES, content, body=long)
        chunked = build_request("POST", target, *LINES, content, "Transfer-Encoding: chunked")
        framed = b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(JSON), JSON, TRAILERS.encode())
        yield f"{kind}: chunks and trailers", chunked + framed
        yield f"{kind}: between hops", build_request("POST", target, *HOP, *LINES, content, body=JSON)


async def call(setting: Setting, data: bytes) -> None:
    async with await RawClient.connect(setting.gateway.url) as client:
        await client.send(data)
        assert (await client.read_response()).head


async def test_no_canary_reaches_a_provider(setting: Setting) -> None:
    for _, data in every_route():
        await call(setting, data)
        await call(setting, data.replace(b"/mine/", b"/other/"))
    sent = setting.sent_to_providers()
    assert len(setting.mine.requests) > 20
    assert CANARY not in sent
    # Each provider got its own key with every request, and nobody else's.
    for upstream, name in ((setting.mine, b"mine"), (setting.other, b"other")):
        assert upstream.requests
        assert {tuple(request.values("x-provider-auth")) for request in upstream.requests} == {(b"key-of-" + name,)}
    assert b"key-of-other" not in b"".join(bytes(one.data) for one in setting.mine.recordings)
    assert b"key-of-mine" not in b"".join(bytes(one.data) for one in setting.other.recordings)


async def test_no_canary_is_sent_with_a_repetition(setting: Setting) -> None:
    request = build_request("PUT", f"{BASE}/provider/mine/-/x", *LINES, body=b"{}")
    await call(setting, request)

    async def script(received: RawRequest, answering: Answering) -> None:
        if received.connection == 1:
            answering.close()  # an idle connection that went away under the request
        else:
            await answering.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    setting.mine.script = script
    await call(setting, request)
    assert len(setting.mine.requests) == 3
    assert CANARY not in setting.sent_to_providers()


async def test_no_canary_is_sent_with_an_upload_that_streams(setting: Setting) -> None:
    head = build_request("POST", f"{BASE}/provider/mine/-/x", *LINES, "Transfer-Encoding: chunked")
    async with await RawClient.connect(setting.gateway.url) as client:
        await client.send(head + b"5\r\nhello\r\n")
        await eventually(lambda: b"hello" in setting.sent_to_providers(), 10)
        await client.send(b"0\r\n" + TRAILERS.encode() + b"\r\n")
        assert (await client.read_response()).status == 200
    assert CANARY not in setting.sent_to_providers()


async def test_the_service_token_goes_to_the_vault_alone(setting: Setting) -> None:
    await call(setting, build_request("GET", f"{BASE}/provider/mine/-/x"))
    assert setting.vault.last.values("x-modelport-service-token") == [CANARY + b"-service-token"]
    assert b"service-token" not in setting.sent_to_providers()


async def test_the_access_log_and_the_errors_hold_no_canary(setting: Setting) -> None:
    setting.mine.script = lambda _, answering: answering.send(b"nonsense\r\n\r\n")
    shown = b""
    for _, data in every_route():
        async with await RawClient.connect(setting.gateway.url) as client:
            await client.send(data)
            response = await client.read_response()
            shown += response.head + response.body
    await eventually(lambda: setting.gateway.access_log.count(b"\n") >= 42, 10)
    for secret in (CANARY, b"key-of-"):
        assert secret not in shown
        assert secret not in setting.gateway.access_log


@pytest.mark.parametrize(
    "kept",
    [
        "X-Kept: Bearer canary-0a",
        "X-AUTH: CANARY",
        "Authorization-Too: canary",
    ],
)
async def test_the_search_finds_what_does_reach_a_provider(setting: Setting, kept: str) -> None:
    """The negative control: a header that nobody calls a credential is forwarded, and found."""
    await call(setting, build_request("POST", f"{BASE}/provider/mine/-/x", *LINES, kept, body=b"{}"))
    assert CANARY in setting.sent_to_providers()


async def test_the_search_reads_bodies_and_chunks_as_well(setting: Setting) -> None:
    await call(setting, build_request("POST", f"{BASE}/provider/mine/-/x", body=b"this is no canary"))
    assert CANARY in setting.sent_to_providers()

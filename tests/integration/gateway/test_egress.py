"""The egress guard in a gateway: what a client is told, and that nothing in the environment leads around it."""

import json
from collections.abc import AsyncIterator

import pytest

from modelport_contracts.egress import Address, EgressAllow
from modelport_contracts.records import ProviderRecord, SecretRecord
from modelport_kit.service_client import service_client
from modelport_testing.gateway_harness import BASE, Gateway, MemoryTable
from modelport_testing.raw_client import build_request, exchange
from modelport_testing.scripted_upstream import Answering, RawRequest, ScriptedUpstream

GET = build_request("GET", f"{BASE}/provider/openai/-/x")
SCHEMES = ("http", "https", "all")


@pytest.fixture
async def proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScriptedUpstream]:
    """A proxy that every variable which programs know names."""
    async with ScriptedUpstream() as running:
        for variable in (f"{scheme}_proxy" for scheme in SCHEMES):
            monkeypatch.setenv(variable, running.url)
            monkeypatch.setenv(variable.upper(), running.url)
        for variable in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(variable, raising=False)
        yield running


async def reveal(_: RawRequest, answering: Answering) -> None:
    """Answer as the secrets service does."""
    body = b'{"value":"sk-1"}'
    head = b"HTTP/1.1 200 OK\r\nx-modelport-revision: secrets.1\r\nContent-Length: %d\r\n\r\n"
    await answering.send(head % len(body) + body)


async def test_no_proxy_of_the_environment_is_asked(
    proxy: ScriptedUpstream, table: MemoryTable, upstream: ScriptedUpstream
) -> None:
    record = ProviderRecord(
        id="p", workspace="default", name="openai", host_url=upstream.url, status="READY", api_key_secret_name="key"
    )
    table.put("provider/default/openai", record.payload())
    table.put("secret/default/key", SecretRecord(workspace="default", name="key", version=1).payload())
    async with ScriptedUpstream(reveal) as secrets, Gateway(table, secrets_url=secrets.url) as gateway:
        assert (await exchange(gateway.url, GET)).status == 200
        assert len(secrets.requests) == 1
    assert upstream.last.values("authorization") == [b"Bearer sk-1"]
    async with service_client(upstream.url, "token") as client:
        assert (await client.get("/y")).status_code == 200
    assert proxy.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254"])
async def test_a_refusal_says_what_would_allow_it(table: MemoryTable, upstream: ScriptedUpstream, host: str) -> None:
    url = f"http://{host}:{upstream.port}"
    record = ProviderRecord(id="p", workspace="default", name="openai", host_url=url, status="READY")
    table.put("provider/default/openai", record.payload())
    async with Gateway(table, egress_allow=EgressAllow()) as gateway:
        reply = await exchange(gateway.url, GET)
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"]) == (502, "egress_refused")
    assert reply.value("x-modelport-error-origin") == b"gateway"
    assert url in error["message"]
    assert "MODELPORT_EGRESS_ALLOW" in error["message"]
    assert "\n" not in error["message"]
    assert upstream.connections == 0


async def test_connections_that_stand_are_not_judged_again(
    table: MemoryTable, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard is no part of a request's way: it judges connections, and a changed list means a new process."""
    judged: list[str] = []
    refusal = EgressAllow.refusal

    def noting(allow: EgressAllow, address: Address, host: str) -> str | None:
        judged.append(host)
        return refusal(allow, address, host)

    monkeypatch.setattr(EgressAllow, "refusal", noting)
    async with Gateway(table) as gateway:
        for _ in range(5):
            assert (await exchange(gateway.url, GET)).status == 200
    assert upstream.connections == 1
    assert len(judged) == 2, "the address, and the peer"

"""TLS to providers: verified always, resumed where possible, under a CA of the provider's own where it names one."""

import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelport_contracts.records import ProviderRecord, SecretRecord
from modelport_testing.certificates import Authority
from modelport_testing.gateway_harness import BASE, Gateway, MemoryTable
from modelport_testing.raw_client import RawClient, RawResponse, build_request, exchange
from modelport_testing.scripted_upstream import OK, Answering, RawRequest, ScriptedUpstream

GET = build_request("GET", f"{BASE}/provider/openai/-/x")
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@dataclass
class Vault:
    """The values that the secrets service reveals; the table has their markers."""

    table: MemoryTable
    values: dict[str, str] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    is_unreadable: bool = False

    def store(self, name: str, value: str) -> None:
        """Store or rotate a secret."""
        self.values[name] = value
        version = self.versions[name] = self.versions.get(name, 0) + 1
        marker = SecretRecord(workspace="default", name=name, version=version)
        self.table.put(f"secret/default/{name}", marker.payload(), version)

    def delete(self, name: str) -> None:
        """Delete a secret."""
        del self.values[name]
        self.table.remove(f"secret/default/{name}", self.versions[name] + 1)

    async def answer(self, request: RawRequest, answering: Answering) -> None:
        """Reveal, as the secrets service does."""
        name = request.target.split(b"/")[-2].decode()
        status, version = b"200 OK", self.versions[name]
        body = json.dumps({"value": self.values.get(name)}).encode()
        if self.is_unreadable:
            status, body = b"500 Oops", b'{"type":"error","error":{"code":"secret_unreadable"},"detail":""}'
        elif name not in self.values:
            status = b"404 Not Found"
        head = b"HTTP/1.1 %b\r\nx-modelport-revision: secrets.%d\r\nContent-Length: %d\r\n\r\n"
        await answering.send(head % (status, version, len(body)) + body)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def vault(table: MemoryTable) -> Vault:
    return Vault(table)


@pytest.fixture
async def service(vault: Vault) -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(vault.answer) as running:
        yield running


@pytest.fixture
async def gateway(table: MemoryTable, service: ScriptedUpstream) -> AsyncIterator[Gateway]:
    """A gateway that believes the system's CAs, none of which signed anything here."""
    async with Gateway(table, secrets_url=service.url) as running:
        yield running


def register(table: MemoryTable, url: str, name: str = "openai", **members: object) -> None:
    record = ProviderRecord.model_validate(
        {"id": name, "workspace": "default", "name": name, "host_url": f"{url}/v1", "status": "READY", **members}
    )
    table.put(f"provider/default/{name}", record.payload())


def code_of(response: RawResponse) -> tuple[int, str]:
    return response.status, json.loads(response.body)["error"]["code"]


def message_of(response: RawResponse) -> str:
    return str(json.loads(response.body)["error"]["message"])


@dataclass
class Sessions:
    """A script that answers and notes for each connection whether its session was resumed, then closes it."""

    resumed: list[bool] = field(default_factory=list)
    keeps: bool = False

    async def answer(self, _: RawRequest, answering: Answering) -> None:
        self.resumed.append(answering.writer.get_extra_info("ssl_object").session_reused)
        if self.keeps:
            await answering.send(OK)
            return
        await answering.send(OK.replace(b"Content-Type", b"Connection: close\r\nContent-Type"))
        answering.close()


async def test_tls_is_verified(table: MemoryTable, authority: Authority) -> None:
    async with ScriptedUpstream(tls=authority.server()) as upstream:
        register(table, upstream.url)
        async with Gateway(table) as gateway:
            refused = await exchange(gateway.url, GET)
            assert code_of(refused) == (502, "tls_failed")
            assert "options.ca_secret_name" in message_of(refused)
        async with Gateway(table, tls=authority.trusting()) as gateway, await RawClient.connect(gateway.url) as client:
            for _ in range(3):
                await client.send(GET)
                assert (await client.read_response()).status == 200
            register(table, upstream.url.replace("localhost", "127.0.0.1"))
            assert code_of(await exchange(gateway.url, GET)) == (502, "tls_failed")
        assert upstream.last.values("host") == [f"localhost:{upstream.port}".encode()]
        assert {request.connection for request in upstream.requests} == {1}


async def test_a_certificate_for_another_host_is_refused(table: MemoryTable, authority: Authority) -> None:
    async with ScriptedUpstream(tls=authority.server("elsewhere.test")) as upstream:
        register(table, upstream.url)
        async with Gateway(table, tls=authority.trusting()) as gateway:
            assert code_of(await exchange(gateway.url, GET)) == (502, "tls_failed")
    assert not upstream.requests


@pytest.mark.parametrize("version", VERSIONS)
async def test_sessions_are_taken_up_again(table: MemoryTable, authority: Authority, version: ssl.TLSVersion) -> None:
    server, sessions = authority.server(), Sessions()
    server.minimum_version = server.maximum_version = version
    async with ScriptedUpstream(sessions.answer, tls=server) as upstream:
        register(table, upstream.url)
        async with Gateway(table, tls=authority.trusting()) as gateway:
            for _ in range(3):
                assert (await exchange(gateway.url, GET)).status == 200
    assert sessions.resumed == [False, True, True]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_session_that_the_server_refuses_costs_a_whole_handshake(
    table: MemoryTable, authority: Authority, version: ssl.TLSVersion
) -> None:
    sessions, port = Sessions(), 0
    async with Gateway(table, tls=authority.trusting()) as gateway:
        for _ in range(2):
            # The second server has the same address and other ticket keys, as after a restart.
            server = authority.server()
            server.minimum_version = server.maximum_version = version
            async with ScriptedUpstream(sessions.answer, tls=server, bind_port=port) as upstream:
                port = upstream.port
                register(table, upstream.url)
                for _ in range(2):
                    assert (await exchange(gateway.url, GET)).status == 200
    assert sessions.resumed == [False, True, False, True]


async def test_a_server_that_fails_over_a_session_is_called_without(table: MemoryTable, authority: Authority) -> None:
    """Nothing of the request has left, so that it is tried again, whatever its method."""
    sessions, port = Sessions(), 0
    async with Gateway(table, tls=authority.trusting()) as gateway:
        async with ScriptedUpstream(sessions.answer, tls=authority.server()) as upstream:
            port = upstream.port
            register(table, upstream.url)
            assert (await exchange(gateway.url, GET)).status == 200
        strict = authority.server()
        async with FailingOnce(strict, port) as failing:
            post = build_request("POST", f"{BASE}/provider/openai/-/x", body=b"{}")
            assert (await exchange(gateway.url, post)).status == 200
    assert failing.resets == 1
    assert len(failing.upstream.requests) == 1


class FailingOnce:
    """A TLS server that resets its first connection during the handshake."""

    def __init__(self, tls: ssl.SSLContext, port: int) -> None:
        self.resets = 0
        tls.sni_callback = self._on_hello
        self.upstream = ScriptedUpstream(tls=tls, bind_port=port)

    def _on_hello(self, *_: object) -> int | None:
        if self.resets:
            return None
        self.resets += 1
        return ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE

    async def __aenter__(self) -> "FailingOnce":
        await self.upstream.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.upstream.__aexit__(*exception)


async def test_a_providers_own_ca(
    table: MemoryTable, authority: Authority, gateway: Gateway, vault: Vault, tmp_path: Path
) -> None:
    vault.store("ca", f"# Főtanúsítvány\n{Authority(tmp_path, 'Another').pem}\n{authority.pem}")
    async with ScriptedUpstream(tls=authority.server()) as upstream:
        register(table, upstream.url, options={"ca_secret_name": "ca"})
        async with await RawClient.connect(gateway.url) as client:
            for _ in range(3):
                await client.send(GET)
                assert (await client.read_response()).status == 200
        assert upstream.connections == 1
    assert authority.pem.encode() not in gateway.access_log


async def test_a_pinned_ca_is_believed_alone(
    table: MemoryTable, authority: Authority, service: ScriptedUpstream, vault: Vault, tmp_path: Path
) -> None:
    """Not even what the gateway believes otherwise helps."""
    vault.store("ca", Authority(tmp_path, "Another").pem)
    async with (
        ScriptedUpstream(tls=authority.server()) as upstream,
        Gateway(table, secrets_url=service.url, tls=authority.trusting()) as gateway,
    ):
        register(table, upstream.url)
        assert (await exchange(gateway.url, GET)).status == 200
        register(table, upstream.url, options={"ca_secret_name": "ca"})
        refused = await exchange(gateway.url, GET)
        assert code_of(refused) == (502, "tls_failed")
        assert "options.ca_secret_name" in message_of(refused)


async def test_connections_under_one_ca_are_not_used_under_another(
    table: MemoryTable, authority: Authority, service: ScriptedUpstream, vault: Vault, tmp_path: Path
) -> None:
    sessions = Sessions(keeps=True)
    vault.store("ca", authority.pem)
    vault.store("other", Authority(tmp_path, "Another").pem)
    async with (
        ScriptedUpstream(sessions.answer, tls=authority.server()) as upstream,
        Gateway(table, secrets_url=service.url, tls=authority.trusting()) as gateway,
    ):
        register(table, upstream.url, "system")
        register(table, upstream.url, "pinned", options={"ca_secret_name": "ca"})
        register(table, upstream.url, "same", options={"ca_secret_name": "ca", "max_concurrency": 9})
        register(table, upstream.url, "wrong", options={"ca_secret_name": "other"})
        expected = {"system": 200, "pinned": 200, "same": 200, "wrong": 502}
        for _ in range(2):
            for name, status in expected.items():
                response = await exchange(gateway.url, build_request("GET", f"{BASE}/provider/{name}/-/x"))
                assert response.status == status, name
    by_connection = [request.connection for request in upstream.requests]
    assert by_connection[:3] == [1, 2, 2], "a connection for each CA, shared by those who believe the same"
    assert set(by_connection) == {1, 2}
    assert not any(sessions.resumed)


async def test_a_rotated_ca_counts_for_the_next_request(
    table: MemoryTable, authority: Authority, gateway: Gateway, vault: Vault, tmp_path: Path
) -> None:
    vault.store("ca", authority.pem)
    async with ScriptedUpstream(tls=authority.server()) as upstream:
        register(table, upstream.url, options={"ca_secret_name": "ca"})
        assert (await exchange(gateway.url, GET)).status == 200
        vault.store("ca", Authority(tmp_path, "Another").pem)
        assert code_of(await exchange(gateway.url, GET)) == (502, "tls_failed")
        vault.store("ca", authority.pem)
        assert (await exchange(gateway.url, GET)).status == 200


async def test_a_deleted_ca(table: MemoryTable, authority: Authority, gateway: Gateway, vault: Vault) -> None:
    vault.store("ca", authority.pem)
    async with ScriptedUpstream(tls=authority.server()) as upstream:
        register(table, upstream.url, options={"ca_secret_name": "ca"})
        assert (await exchange(gateway.url, GET)).status == 200
        vault.delete("ca")
        refused = await exchange(gateway.url, GET)
        assert code_of(refused) == (424, "ca_unusable")
        for part in ("default/ca", "default/openai", "options.ca_secret_name", "does not exist"):
            assert part in message_of(refused)
        assert len(upstream.requests) == 1
        vault.store("ca", authority.pem)
        assert (await exchange(gateway.url, GET)).status == 200


async def test_a_request_is_not_repeated_under_a_ca_that_was_deleted_meanwhile(
    table: MemoryTable, authority: Authority, gateway: Gateway, vault: Vault
) -> None:
    vault.store("ca", authority.pem)

    async def lose_the_second(_: RawRequest, answering: Answering) -> None:
        if len(upstream.requests) == 2:
            vault.delete("ca")
            answering.close()
        else:
            await answering.send(OK)

    async with ScriptedUpstream(lose_the_second, tls=authority.server()) as upstream:
        register(table, upstream.url, options={"ca_secret_name": "ca"})
        assert (await exchange(gateway.url, GET)).status == 200
        assert code_of(await exchange(gateway.url, GET)) == (424, "ca_unusable")
        assert (upstream.connections, len(upstream.requests)) == (1, 2)


async def test_a_ca_that_cannot_be_opened(
    table: MemoryTable, authority: Authority, gateway: Gateway, vault: Vault
) -> None:
    vault.store("ca", authority.pem)
    vault.is_unreadable = True
    register(table, "https://localhost:1", options={"ca_secret_name": "ca"})
    refused = await exchange(gateway.url, GET)
    assert code_of(refused) == (424, "ca_unusable")
    assert "default/ca" in message_of(refused)


@pytest.mark.parametrize(
    "value",
    [
        "sk-canary",
        "canary ő",
        "-----BEGIN CERTIFICATE-----\ncanary\n-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----",
    ],
)
async def test_what_is_no_ca(table: MemoryTable, gateway: Gateway, vault: Vault, value: str) -> None:
    vault.store("ca", value)
    register(table, "https://localhost:1", options={"ca_secret_name": "ca"})
    for _ in range(2):
        refused = await exchange(gateway.url, GET)
        assert code_of(refused) == (424, "ca_unusable")
        assert "default/ca" in message_of(refused)
        assert "PEM" in message_of(refused)
        assert b"canary" not in refused.body


async def test_a_ca_does_not_count_without_tls(
    table: MemoryTable, gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    register(table, upstream.url, options={"ca_secret_name": "nobody"})
    assert (await exchange(gateway.url, GET)).status == 200


async def test_the_key_of_a_provider_with_a_ca_is_still_sent_and_dropped(
    table: MemoryTable, authority: Authority, gateway: Gateway, vault: Vault
) -> None:
    vault.store("ca", authority.pem)
    vault.store("key", "sk-one")
    async with ScriptedUpstream(tls=authority.server()) as upstream:
        register(table, upstream.url, api_key_secret_name="key", options={"ca_secret_name": "ca"})
        assert (await exchange(gateway.url, GET)).status == 200
        assert upstream.last.values("authorization") == [b"Bearer sk-one"]
        vault.store("ca", authority.pem)
        vault.delete("key")
        assert code_of(await exchange(gateway.url, GET)) == (424, "secret_missing")
        assert len(upstream.requests) == 1

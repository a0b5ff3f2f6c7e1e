"""The provider's key: fetched once per version, replaced when rotated, never sent once deleted."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from modelport_contracts.records import ProviderRecord, SecretRecord
from modelport_testing.canaries import Kind, canary
from modelport_testing.gateway_harness import BASE, Gateway, MemoryTable
from modelport_testing.polling import eventually
from modelport_testing.raw_client import RawClient, RawResponse, build_request
from modelport_testing.scripted_upstream import Answering, RawRequest, ScriptedUpstream

ONE, TWO = canary(Kind.PROVIDER, "sk-one-"), canary(Kind.PROVIDER, "sk-two-")
TOKEN = canary(Kind.SERVICE)
GET = build_request("GET", f"{BASE}/provider/openai/-/x", f"Authorization: Bearer {canary(Kind.CLIENT)}")


@dataclass
class Vault:
    """What the secrets service knows."""

    value: str | None = ONE
    version: int = 1
    is_away: bool = False
    is_unreadable: bool = False
    on_ask: Callable[[], None] | None = None
    """What happens elsewhere while the service answers."""
    asked: list[RawRequest] = field(default_factory=list)

    async def answer(self, request: RawRequest, answering: Answering) -> None:
        self.asked.append(request)
        if self.on_ask is not None:
            self.on_ask()
        if self.is_away:
            answering.reset()
            return
        if self.is_unreadable:
            error = b'{"type":"error","error":{"code":"secret_unreadable"},"detail":""}'
            await answering.send(b"HTTP/1.1 500 Oops\r\nContent-Length: %d\r\n\r\n%b" % (len(error), error))
            return
        known = self.value is not None
        body = json.dumps({"name": "key", "workspace": "default", "value": self.value}).encode()
        await answering.send(
            b"HTTP/1.1 %b\r\nx-modelport-revision: secrets.%d\r\nContent-Length: %d\r\n\r\n%b"
            % (b"200 OK" if known else b"404 Not Found", self.version, len(body), body)
        )


@pytest.fixture
def table(upstream: ScriptedUpstream) -> MemoryTable:
    table = MemoryTable()
    put_provider(table, upstream, None)
    mark(table, 1)
    return table


def put_provider(
    table: MemoryTable,
    upstream: ScriptedUpstream,
    auth: str | None,
    *,
    headers: dict[str, str] | None = None,
    body: dict[str, object] | None = None,
) -> None:
    record = ProviderRecord(
        id="p",
        workspace="default",
        name="openai",
        host_url=f"{upstream.url}/v1",
        status="READY",
        api_key_secret_name="key",
        auth_header_format=auth,
        default_extra_headers=headers,
        default_extra_body=body,
    )
    table.put("provider/default/openai", record.payload())


def mark(table: MemoryTable, version: int) -> None:
    record = SecretRecord(workspace="default", name="key", version=version)
    table.put("secret/default/key", record.payload(), version)


@pytest.fixture
def vault() -> Vault:
    return Vault()


@pytest.fixture
async def service(vault: Vault) -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(vault.answer) as running:
        yield running


@pytest.fixture
async def gateway(table: MemoryTable, service: ScriptedUpstream) -> AsyncIterator[Gateway]:
    async with Gateway(table, secrets_url=service.url, service_token=TOKEN) as running:
        yield running


async def ask(client: RawClient) -> RawResponse:
    await client.send(GET)
    return await client.read_response()


def code_of(response: RawResponse) -> tuple[int, str]:
    return response.status, json.loads(response.body)["error"]["code"]


async def test_the_key_is_fetched_once_and_sent(gateway: Gateway, upstream: ScriptedUpstream, vault: Vault) -> None:
    async with await RawClient.connect(gateway.url) as client:
        for _ in range(5):
            assert (await ask(client)).status == 200
            assert upstream.last.values("authorization") == [f"Bearer {ONE}".encode()]
    assert len(vault.asked) == 1
    assert vault.asked[0].target == b"/apis/secrets/v2/workspaces/default/secrets/key/access"
    assert vault.asked[0].values("x-modelport-service-token") == [TOKEN.encode()]
    assert ONE.encode() not in gateway.access_log


async def test_the_header_is_the_provider_s_own(
    gateway: Gateway, upstream: ScriptedUpstream, table: MemoryTable
) -> None:
    put_provider(table, upstream, "X-Special-Key: token={{ auth_secret }}!")
    request = build_request("GET", f"{BASE}/provider/openai/-/x", "x-special-key: client's")
    async with await RawClient.connect(gateway.url) as client:
        await client.send(request)
        assert (await client.read_response()).status == 200
    assert upstream.last.values("x-special-key") == [f"token={ONE}!".encode()]
    assert upstream.last.values("authorization") == []


async def test_a_rotated_key_is_sent_from_the_next_request_on(
    gateway: Gateway, upstream: ScriptedUpstream, table: MemoryTable, vault: Vault
) -> None:
    async with await RawClient.connect(gateway.url) as client:
        assert (await ask(client)).status == 200
        vault.value, vault.version = TWO, 2
        mark(table, 2)
        for _ in range(3):
            assert (await ask(client)).status == 200
            assert upstream.last.values("authorization") == [f"Bearer {TWO}".encode()]
    assert len(vault.asked) == 2


async def test_a_deleted_key_is_never_sent_again(
    gateway: Gateway, upstream: ScriptedUpstream, table: MemoryTable, vault: Vault
) -> None:
    async with await RawClient.connect(gateway.url) as client:
        assert (await ask(client)).status == 200
        table.remove("secret/default/key", 2)
        vault.is_away = True
        for _ in range(2):
            assert code_of(await ask(client)) == (424, "secret_missing")
        mark(table, 3)
        assert code_of(await ask(client)) == (503, "secrets_away")
    assert len(upstream.requests) == 1


async def test_the_old_key_serves_after_a_rotation_while_the_service_is_away(
    gateway: Gateway, upstream: ScriptedUpstream, table: MemoryTable, vault: Vault
) -> None:
    async with await RawClient.connect(gateway.url) as client:
        assert (await ask(client)).status == 200
        mark(table, 2)
        vault.is_away = True
        for _ in range(3):
            assert (await ask(client)).status == 200
            assert upstream.last.values("authorization") == [f"Bearer {ONE}".encode()]
    assert len(vault.asked) == 2


async def test_a_value_older_than_its_marker_is_not_taken(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream, vault: Vault
) -> None:
    mark(table, 2)
    async with await RawClient.connect(gateway.url) as client:
        assert code_of(await ask(client)) == (503, "secrets_away")
        vault.value, vault.version = TWO, 3
        assert (await ask(client)).status == 200
    assert upstream.last.values("authorization") == [f"Bearer {TWO}".encode()]


async def test_a_secret_the_service_does_not_have(gateway: Gateway, vault: Vault) -> None:
    vault.value = None
    async with await RawClient.connect(gateway.url) as client:
        assert code_of(await ask(client)) == (424, "secret_missing")


async def test_a_key_that_no_header_can_carry(gateway: Gateway, vault: Vault, upstream: ScriptedUpstream) -> None:
    vault.value = f"{ONE}\r\nX-Evil: yes"
    async with await RawClient.connect(gateway.url) as client:
        response = await ask(client)
    assert code_of(response) == (424, "secret_unusable")
    assert ONE.encode() not in response.head + response.body
    assert not upstream.requests


async def test_a_key_deleted_while_the_body_is_coming_is_not_sent(
    gateway: Gateway, upstream: ScriptedUpstream, table: MemoryTable
) -> None:
    put_provider(table, upstream, None, body={"temperature": 0})
    head = build_request("POST", f"{BASE}/provider/openai/-/x", "Content-Type: application/json", body=b'{"a":1}')
    async with await RawClient.connect(gateway.url) as client:
        await client.send(head)
        assert (await client.read_response()).status == 200  # a warm connection, and a value that is held
        await client.send(head[:-3])
        # by now the gateway waits for the rest of the body, and has done before it whatever it does before it
        await eventually(lambda: any(exchange.target is not None for exchange in list(gateway.plane.context.active)))
        table.remove("secret/default/key", 2)
        await client.send(head[-3:])
        assert code_of(await client.read_response()) == (424, "secret_missing")
    assert len(upstream.requests) == 1


async def test_a_key_that_the_service_cannot_open_is_said_so(gateway: Gateway, vault: Vault) -> None:
    vault.is_unreadable = True
    async with await RawClient.connect(gateway.url) as client:
        assert code_of(await ask(client)) == (424, "secret_unreadable")


async def test_the_key_s_header_is_sent_once(gateway: Gateway, upstream: ScriptedUpstream, table: MemoryTable) -> None:
    put_provider(table, upstream, "X-Token: {{ auth_secret }}", headers={"x-token": "default"})
    async with await RawClient.connect(gateway.url) as client:
        assert (await ask(client)).status == 200
    assert upstream.last.values("x-token") == [ONE.encode()]


async def test_a_key_deleted_while_it_is_fetched_is_not_sent(
    gateway: Gateway, upstream: ScriptedUpstream, table: MemoryTable, vault: Vault
) -> None:
    async with await RawClient.connect(gateway.url) as client:
        assert (await ask(client)).status == 200  # a warm connection: nothing is awaited after the fetch
        vault.value, vault.version = TWO, 2
        mark(table, 2)
        vault.on_ask = lambda: table.remove("secret/default/key", 3)
        assert code_of(await ask(client)) == (424, "secret_missing")
    assert len(upstream.requests) == 1


def losing(upstream: ScriptedUpstream, meanwhile: Callable[[], None]) -> None:
    """Let the provider lose its second request, on a reused connection, and something happen before the repetition."""

    async def script(_: RawRequest, answering: Answering) -> None:
        if len(upstream.requests) == 2:
            meanwhile()
            answering.close()
            return
        await answering.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    upstream.script = script


async def test_a_request_is_repeated_where_the_marker_must_be_asked_for(
    gateway: Gateway, upstream: ScriptedUpstream, table: MemoryTable
) -> None:
    def doubt() -> None:
        table.hides = True

    losing(upstream, doubt)
    async with await RawClient.connect(gateway.url) as client:
        assert (await ask(client)).status == 200
        assert (await ask(client)).status == 200
    assert upstream.last.values("authorization") == [f"Bearer {ONE}".encode()]
    assert len(upstream.requests) == 3


async def test_a_request_is_repeated_with_the_old_key_while_the_service_is_away(
    gateway: Gateway, upstream: ScriptedUpstream, table: MemoryTable, vault: Vault
) -> None:
    def rotate() -> None:
        mark(table, 2)
        vault.is_away = True

    losing(upstream, rotate)
    async with await RawClient.connect(gateway.url) as client:
        assert (await ask(client)).status == 200
        assert (await ask(client)).status == 200
    assert upstream.last.values("authorization") == [f"Bearer {ONE}".encode()]
    assert len(upstream.requests) == 3


async def test_a_request_is_not_repeated_with_a_key_that_was_rotated_meanwhile(
    gateway: Gateway, upstream: ScriptedUpstream, table: MemoryTable, vault: Vault
) -> None:
    def rotate() -> None:
        mark(table, 2)
        vault.value, vault.version = TWO, 2

    losing(upstream, rotate)
    async with await RawClient.connect(gateway.url) as client:
        assert (await ask(client)).status == 200
        assert code_of(await ask(client)) == (502, "upstream_closed")
        assert (await ask(client)).status == 200
    assert upstream.last.values("authorization") == [f"Bearer {TWO}".encode()]
    assert len(upstream.requests) == 3


async def test_a_repetition_whose_key_was_deleted_says_so(
    gateway: Gateway, upstream: ScriptedUpstream, table: MemoryTable
) -> None:
    losing(upstream, lambda: table.remove("secret/default/key", 2))
    async with await RawClient.connect(gateway.url) as client:
        assert (await ask(client)).status == 200
        assert code_of(await ask(client)) == (424, "secret_missing")
    assert len(upstream.requests) == 2


async def test_a_deleted_key_is_forgotten_though_nobody_asks_any_more(gateway: Gateway, table: MemoryTable) -> None:
    async with await RawClient.connect(gateway.url) as client:
        assert (await ask(client)).status == 200
    target = table.records["provider/default/openai"].compiled
    assert ONE.encode() in target.block[1]
    table.remove("provider/default/openai", 2)
    table.remove("secret/default/key", 2)
    await eventually(lambda: ONE.encode() not in target.block[1], 20)

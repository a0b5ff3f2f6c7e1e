"""Admission, the access log, the clock, CORS, the secrets' grace."""

import asyncio
import json

import pytest

from modelport_contracts.records import ProviderRecord, SecretRecord
from modelport_gateway.account.access_log import AccessLog, Record, safe_path
from modelport_gateway.account.clock import Clock
from modelport_gateway.admit.admission import admit, has_passed
from modelport_gateway.errors import LoopError, SecretsAwayError, UnavailableError
from modelport_gateway.parse.head import parse_request_head
from modelport_gateway.prepare.secrets import SecretsClient, SecretValue, SecretValues
from modelport_gateway.prepare.target import Target
from modelport_gateway.relay.cors import is_allowed
from modelport_kit.redaction import redact_text
from modelport_kit.service_get import ServiceGet
from modelport_testing.gateway_harness import MemoryTable
from modelport_testing.scripted_upstream import Answering, RawRequest, ScriptedUpstream


def test_a_loop_is_a_member_of_cdn_loop() -> None:
    assert has_passed(b"a, modelport-x; y=1", b"modelport-x")
    assert has_passed(b"modelport-x", b"modelport-x")
    assert not has_passed(b"modelport-xy,x;modelport-x", b"modelport-x")
    head = parse_request_head(b"GET / HTTP/1.1\r\nHost: x\r\nCDN-Loop: a\r\ncdn-loop: modelport-x\r\n\r\n", 9)
    with pytest.raises(LoopError):
        admit(head, b"modelport-x", is_serving=True)
    admit(head, b"modelport-y", is_serving=True)
    with pytest.raises(UnavailableError) as caught:
        admit(head, b"modelport-y", is_serving=False)
    assert caught.value.error_code == "not_serving"


@pytest.mark.parametrize("text", [b"/plain/path-1", b'/quote"', b"/back\\slash", b"/\x00\x1f\n", b"/caf\xe9", b"/%20%"])
def test_logged_paths_are_safe_in_json(text: bytes) -> None:
    assert json.loads(b'"' + safe_path(text) + b'"') == text.decode("latin-1")


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        (b"/v1/x?key=k", b"/v1/x"),
        (b"/v1%2Fx%3Fkey%3Dk", b"/v1%2Fx"),
        (b"/v1%2Fx%3fkey%3Dk?more", b"/v1%2Fx"),
        (b"http://user:password@host/x", b"-"),
        (b"*", b"-"),
        (b"", b"-"),
    ],
)
def test_logged_paths_have_no_query_and_no_password(target: bytes, shown: bytes) -> None:
    assert safe_path(target) == shown


def test_the_access_log_writes_in_batches_and_survives_its_sink() -> None:
    written: list[bytes] = []
    fails = False

    def write(data: bytes) -> None:
        if fails:
            raise OSError("disk full")
        written.append(data)

    log = AccessLog(write)
    record = Record(b"id", b"GET", b"/x", 200, "", "ws/p", 1, 2, 0.0015)
    log.flush()
    assert written == []
    log.add(b"now", record)
    log.add(b"now", record)
    log.flush()
    assert [json.loads(line) for line in written[0].splitlines()] == [
        {
            "time": "now",
            "id": "id",
            "method": "GET",
            "path": "/x",
            "status": 200,
            "code": "",
            "provider": "ws/p",
            "in": 1,
            "out": 2,
            "ms": 1.5,
        }
    ] * 2
    fails = True
    log.add(b"now", record)
    log.flush()
    assert log.lost == 1


def test_the_clock_ticks() -> None:
    wall = 1_700_000_000.25
    clock = Clock(lambda: 5.0, lambda: wall)
    assert (clock.now, clock.stamp) == (5.0, b"2023-11-14T22:13:20.250Z")
    assert clock.date_line == b"Date: Tue, 14 Nov 2023 22:13:20 GMT"


def test_origins() -> None:
    assert is_allowed(["https://a"], b"https://a")
    assert not is_allowed(["https://a"], b"https://a.evil")
    assert is_allowed(["*"], b"anything")


def mark(table: MemoryTable, version: int) -> None:
    record = SecretRecord(workspace="ws", name="key", version=version)
    table.put("secret/ws/key", record.payload(), version)


async def test_the_grace_of_an_old_value_ends() -> None:
    now = 1000.0
    away = False

    async def script(_: RawRequest, answering: Answering) -> None:
        if away:
            answering.reset()
            return
        body = b'{"value":"v"}'
        await answering.send(b"HTTP/1.1 200 OK\r\nx-modelport-revision: secrets.1\r\nContent-Length: 13\r\n\r\n" + body)

    table = MemoryTable()
    mark(table, 1)
    async with ScriptedUpstream(script) as service, ServiceGet(service.url, "t") as http:
        secrets = SecretValues(table, SecretsClient(http), clock=lambda: now, grace_s=300)
        assert await secrets.get("ws", "key") == SecretValue("v", 1)
        away = True
        mark(table, 2)
        for moment in (0, 100, 299):
            now = 1000.0 + moment
            assert await secrets.get("ws", "key") == SecretValue("v", 1)
        now = 1301.0
        with pytest.raises(SecretsAwayError):
            await secrets.get("ws", "key")


class Answering200:
    """A vault whose one secret has a version of its own."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.status = b"200 OK"

    async def __call__(self, _: RawRequest, answering: Answering) -> None:
        await answering.send(
            b"HTTP/1.1 %b\r\nx-modelport-revision: secrets.%d\r\nContent-Length: 13\r\n\r\n"
            % (self.status, self.version)
            + b'{"value":"v"}'
        )


async def test_a_value_newer_than_its_marker_is_not_fetched_for_each_request() -> None:
    now = 1000.0
    vault = Answering200(2)
    table = MemoryTable()
    mark(table, 1)  # the change to 2 has not arrived: the bus is away
    async with ScriptedUpstream(vault) as service, ServiceGet(service.url, "t") as http:
        secrets = SecretValues(table, SecretsClient(http), clock=lambda: now)
        for _ in range(10):
            assert await secrets.get("ws", "key") == SecretValue("v", 2)
        assert len(service.requests) == 1
        now += 6
        vault.version = 1  # restored from a backup meanwhile: what was newer is not believed for ever
        assert await secrets.get("ws", "key") == SecretValue("v", 1)
        assert len(service.requests) == 2
        vault.version = 3
        mark(table, 3)
        for _ in range(3):
            assert await secrets.get("ws", "key") == SecretValue("v", 3)
    assert len(service.requests) == 3


@pytest.mark.parametrize("status", [b"401 Unauthorized", b"403 Forbidden"])
async def test_a_refused_token_is_said_so(status: bytes) -> None:
    vault = Answering200(1)
    vault.status = status
    table = MemoryTable()
    mark(table, 1)
    async with ScriptedUpstream(vault) as service, ServiceGet(service.url, "t") as http:
        secrets = SecretValues(table, SecretsClient(http), clock=lambda: 0.0)
        with pytest.raises(SecretsAwayError, match="MODELPORT_SERVICE_TOKEN_FILE"):
            await secrets.get("ws", "key")
    async with ServiceGet("http://127.0.0.1:1", "t") as http:
        nobody = SecretValues(table, SecretsClient(http), clock=lambda: 0.0)
        with pytest.raises(SecretsAwayError, match="does not answer"):
            await nobody.get("ws", "key")


@pytest.mark.parametrize("hides", [False, True])
async def test_a_deleted_secret_s_value_is_forgotten_by_all_who_hold_it(hides: bool) -> None:
    table = MemoryTable(hides=hides)
    mark(table, 1)
    record = ProviderRecord(
        id="p", workspace="ws", name="p", host_url="http://h", status="READY", generation=1, api_key_secret_name="key"
    )
    target = Target(record, b"CDN-Loop: x")
    async with ScriptedUpstream(Answering200(1)) as service, ServiceGet(service.url, "t") as http:
        secrets = SecretValues(table, SecretsClient(http), clock=lambda: 0.0)
        value = await secrets.get("ws", "key")
        target.set_secret(value.value, value.version)
        secrets.given_to("ws", "key", target)
        await secrets.sweep()
        assert b"Bearer v" in target.block[1]
        table.remove("secret/ws/key", 2)
        await secrets.sweep()
        assert b"Bearer" not in target.block[1]
        assert target.secret_version == -1
        # made again with the same version: nothing was kept
        mark(table, 1)
        await secrets.get("ws", "key")
    assert len(service.requests) == 2


def test_logs_know_a_value_for_as_long_as_it_is_there() -> None:
    value = SecretValue("no-shape-of-its-own-1", 1)
    other = SecretValue("no-shape-of-its-own-1", 1)
    assert redact_text("it said no-shape-of-its-own-1") == "it said [redacted]"
    del value
    assert redact_text("it said no-shape-of-its-own-1") == "it said [redacted]"
    del other
    assert redact_text("it said no-shape-of-its-own-1") == "it said no-shape-of-its-own-1"


async def test_many_waiters_make_one_fetch() -> None:
    release = asyncio.Event()

    async def script(_: RawRequest, answering: Answering) -> None:
        await release.wait()
        await answering.send(
            b'HTTP/1.1 200 OK\r\nx-modelport-revision: secrets.1\r\nContent-Length: 13\r\n\r\n{"value":"v"}'
        )

    table = MemoryTable()
    mark(table, 1)
    async with ScriptedUpstream(script) as service, ServiceGet(service.url, "t") as http:
        secrets = SecretValues(table, SecretsClient(http), clock=lambda: 0.0)
        waiters = [asyncio.ensure_future(secrets.get("ws", "key")) for _ in range(10)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        release.set()
        assert await asyncio.gather(*waiters[1:]) == [SecretValue("v", 1)] * 9
    assert len(service.requests) == 1
    assert "v1" not in repr(SecretValue("v1", 1))

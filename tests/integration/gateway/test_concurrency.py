"""`max_concurrency`: never more at a provider than it allows, in order, every place freed however a request ends."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from modelport_contracts.records import ModelRecord, ProviderRecord, SecretRecord, ServedBy, VirtualModelRecord
from modelport_testing.gateway_harness import BASE, Gateway, MemoryTable
from modelport_testing.polling import eventually
from modelport_testing.raw_client import RawClient, RawResponse, build_json, build_request, exchange
from modelport_testing.scripted_upstream import OK, Answering, RawRequest, ScriptedUpstream, answer_ok, reply_with

ROUTE = f"{BASE}/provider/openai/-/"
GET = build_request("GET", ROUTE + "x")


def register(table: MemoryTable, url: str, **members: Any) -> None:
    record = ProviderRecord.model_validate(
        {"id": "p", "workspace": "default", "name": "openai", "host_url": f"{url}/v1", "status": "READY", **members}
    )
    table.put("provider/default/openai", record.payload())


def limit(table: MemoryTable, url: str, number: int | None, queue_s: float = 30, **options: Any) -> None:
    register(table, url, options={"max_concurrency": number, "max_queue_s": queue_s, **options})


def code_of(response: RawResponse) -> tuple[int, str]:
    return response.status, json.loads(response.body)["error"]["code"]


class Doors:
    """A script that answers each request once the test says so."""

    def __init__(self) -> None:
        self.waiting: dict[bytes, asyncio.Event] = {}
        self.arrived: list[bytes] = []
        self.most = 0

    async def answer(self, request: RawRequest, answering: Answering) -> None:
        name = request.target.rpartition(b"/")[2]
        self.arrived.append(name)
        door = self.waiting[name] = asyncio.Event()
        self.most = max(self.most, len(self.waiting))
        await asyncio.wait_for(door.wait(), 30)
        del self.waiting[name]
        await answering.send(OK)

    def open(self, name: bytes) -> None:
        self.waiting[name].set()


@pytest.fixture
def doors(upstream: ScriptedUpstream) -> Doors:
    doors = Doors()
    upstream.script = doors.answer
    return doors


@pytest.fixture(params=["known", "asked"])
async def gateway(table: MemoryTable, request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    table.hides = request.param == "asked"
    async with Gateway(table) as running:
        yield running


async def ask(gateway: Gateway, name: str) -> "asyncio.Task[RawResponse]":
    """Send a request and return once the gateway has it."""
    before = len(gateway.plane.context.active)
    task = asyncio.ensure_future(exchange(gateway.url, build_request("GET", ROUTE + name)))
    await eventually(lambda: len(gateway.plane.context.active) > before)
    return task


async def test_those_beyond_the_limit_wait_in_order(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream, doors: Doors
) -> None:
    limit(table, upstream.url, 2)
    tasks = [await ask(gateway, f"r{number}") for number in range(6)]
    names = [b"r%d" % number for number in range(6)]
    for position in range(6):
        expected = names[: min(position + 2, 6)]
        await eventually(lambda expected=expected: sorted(doors.arrived) == expected)  # type: ignore[misc]
        doors.open(names[position])
        assert (await tasks[position]).status == 200
    assert doors.most == 2


async def test_the_wait_is_bounded(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream, doors: Doors
) -> None:
    limit(table, upstream.url, 1, queue_s=0.3)
    held = await ask(gateway, "held")
    await eventually(lambda: doors.arrived)
    async with await RawClient.connect(gateway.url) as client:
        for _ in range(2):
            await client.send(GET)
            response = await client.read_response()
            assert code_of(response) == (503, "provider_busy")
            assert response.value("retry-after") == b"1"
            assert response.value("x-modelport-error-origin") == b"gateway"
            for part in (b"default/openai", b"options.max_concurrency", b"options.max_queue_s", b"0.3 s"):
                assert part in response.body
        doors.open(b"held")
        assert (await held).status == 200
        await client.send(build_request("GET", ROUTE + "y"))
        await eventually(lambda: doors.arrived == [b"held", b"y"])
        doors.open(b"y")
        assert (await client.read_response()).status == 200


async def test_a_body_that_is_not_asked_for_yet_has_not_stopped_coming(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream, doors: Doors
) -> None:
    limit(table, upstream.url, 1, first_byte_timeout_s=30, idle_timeout_s=1)
    held = await ask(gateway, "held")
    await eventually(lambda: doors.arrived)
    async with await RawClient.connect(gateway.url) as client:
        await client.send(build_request("POST", ROUTE + "post", "Transfer-Encoding: chunked") + b"1\r\nx\r\n")
        since = time.monotonic()
        await eventually(lambda: time.monotonic() - since > 2)
        doors.open(b"held")
        assert (await held).status == 200
        await client.send(b"0\r\n\r\n")
        await eventually(lambda: b"post" in doors.waiting)
        doors.open(b"post")
        assert (await client.read_response()).status == 200


async def test_a_client_that_leaves_while_it_waits(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream, doors: Doors
) -> None:
    limit(table, upstream.url, 1)
    held = await ask(gateway, "held")
    await eventually(lambda: doors.arrived)
    async with await RawClient.connect(gateway.url) as leaving:
        await leaving.send(build_request("GET", ROUTE + "left"))
        await eventually(lambda: len(gateway.plane.context.active) == 2)
        after = await ask(gateway, "after")
    await eventually(lambda: len(gateway.plane.context.active) == 2)
    doors.open(b"held")
    await eventually(lambda: doors.arrived == [b"held", b"after"])
    doors.open(b"after")
    assert [(await held).status, (await after).status] == [200, 200]


async def test_a_raised_limit_lets_in_those_who_wait(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream, doors: Doors
) -> None:
    """Nobody else asks for the provider meanwhile."""
    limit(table, upstream.url, 1)
    tasks = [await ask(gateway, f"r{number}") for number in range(5)]
    await eventually(lambda: doors.arrived == [b"r0"])
    limit(table, upstream.url, 3)
    await eventually(lambda: sorted(doors.arrived) == [b"r0", b"r1", b"r2"])
    limit(table, upstream.url, None)
    await eventually(lambda: len(doors.arrived) == 5)
    for number in range(5):
        doors.open(b"r%d" % number)
        assert (await tasks[number]).status == 200


async def test_a_lowered_limit_counts_once_enough_have_left(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream, doors: Doors
) -> None:
    limit(table, upstream.url, 3)
    tasks = [await ask(gateway, f"r{number}") for number in range(3)]
    await eventually(lambda: len(doors.arrived) == 3)
    limit(table, upstream.url, 1)
    tasks.append(await ask(gateway, "r3"))
    for number in range(3):
        assert b"r3" not in doors.arrived
        doors.open(b"r%d" % number)
        assert (await tasks[number]).status == 200
    await eventually(lambda: doors.waiting.keys() == {b"r3"})
    doors.open(b"r3")
    assert (await tasks[3]).status == 200


async def test_after_the_wait_a_request_goes_where_the_provider_is_by_then(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream, doors: Doors
) -> None:
    async with ScriptedUpstream() as other:
        limit(table, upstream.url, 1)
        held = await ask(gateway, "held")
        await eventually(lambda: doors.arrived)
        moved = await ask(gateway, "moved")
        limit(table, other.url, 1)
        doors.open(b"held")
        assert [(await held).status, (await moved).status] == [200, 200]
        assert [request.target for request in other.requests] == [b"/v1/moved"]


async def test_a_provider_that_is_deleted_while_requests_wait(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream, doors: Doors
) -> None:
    limit(table, upstream.url, 1)
    held = await ask(gateway, "held")
    await eventually(lambda: doors.arrived)
    waiting = await ask(gateway, "waiting")
    table.remove("provider/default/openai", 2)
    doors.open(b"held")
    assert (await held).status == 200
    assert code_of(await waiting) == (404, "provider_not_found")


async def test_extra_members_that_came_while_a_request_waited(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream, doors: Doors
) -> None:
    limit(table, upstream.url, 1)
    held = await ask(gateway, "held")
    await eventually(lambda: doors.arrived)
    async with await RawClient.connect(gateway.url) as client:
        request = build_json(ROUTE + "post", b'{"a":1}')
        await client.send(request[:-3])
        await eventually(lambda: len(gateway.plane.context.active) == 2)
        register(table, upstream.url, options={"max_concurrency": 1}, required_extra_body={"b": 2})
        doors.open(b"held")
        assert (await held).status == 200
        await client.send(request[-3:])
        await eventually(lambda: b"post" in doors.waiting)
        doors.open(b"post")
        assert (await client.read_response()).status == 200
    assert upstream.last.body == b'{"a":1,"b":2}'


async def test_the_limit_counts_on_every_route(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream, doors: Doors
) -> None:
    limit(table, upstream.url, 1, queue_s=0)
    served = (ServedBy(provider="default/openai", served_id="gpt-4"),)
    table.put("model/default/gpt-4", ModelRecord(workspace="default", name="gpt-4", served_by=served).payload())
    virtual = VirtualModelRecord(workspace="default", name="gpt-4", created=1, default_model_entity="default/gpt-4")
    table.put("virtual-model/default/gpt-4", virtual.payload())
    held = await ask(gateway, "held")
    await eventually(lambda: doors.arrived)
    for path in ("model/gpt-4/-/v1/x", "openai/-/v1/x", "provider/openai/-/v1/x"):
        response = await exchange(gateway.url, build_json(f"{BASE}/{path}", b'{"model":"gpt-4"}'))
        assert code_of(response) == (503, "provider_busy"), path
    doors.open(b"held")
    assert (await held).status == 200


async def test_however_a_request_ends_its_place_is_free_again_once(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream
) -> None:
    table.put("secret/default/gone", SecretRecord(workspace="default", name="gone", version=1).payload())
    table.remove("secret/default/gone", 2)
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    quick = {"first_byte_timeout_s": 0.2, "total_timeout_s": 0.4}

    async def silent(_: RawRequest, answering: Answering) -> None:
        await answering.client_closed(30)
        answering.close()

    ends: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
        "whole": (answer_ok, {}, {}),
        "closed": (reply_with(b"", closes=True), {}, {}),
        "cut": (reply_with(cut, closes=True), {}, {}),
        "no HTTP": (reply_with(b"SSH-2.0\r\n\r\n", closes=True), {}, {}),
        "no first byte": (silent, {}, quick),
        "no secret": (answer_ok, {"api_key_secret_name": "gone"}, {}),
        "no connection": (answer_ok, {"host_url": "http://127.0.0.1:1"}, {}),
        "no CA": (answer_ok, {"host_url": "https://127.0.0.1:1"}, {"ca_secret_name": "gone"}),
        "left": (silent, {}, {}),
        "left midway": (reply_with(cut), {}, {}),
    }
    for script, members, options in ends.values():
        for method in ("GET", "POST"):
            upstream.script = script
            one = {"max_concurrency": 1, "max_queue_s": 10}
            register(table, upstream.url, **members | {"options": one | options})
            async with await RawClient.connect(gateway.url) as client:
                await client.send(build_request(method, ROUTE + "x", body=b"{}"))
                before = len(upstream.requests)
                if script is silent and not options:
                    await eventually(lambda before=before: len(upstream.requests) > before)  # type: ignore[misc]
                else:
                    await client.read_head()
    doors = Doors()
    upstream.script = doors.answer
    limit(table, upstream.url, 1, queue_s=0)
    await eventually(lambda: not gateway.plane.context.active)
    held = await ask(gateway, "held")
    await eventually(lambda: doors.arrived)
    assert code_of(await exchange(gateway.url, GET)) == (503, "provider_busy"), "none was freed twice"
    doors.open(b"held")
    assert (await held).status == 200


async def test_another_provider_is_not_held_up(
    gateway: Gateway, table: MemoryTable, upstream: ScriptedUpstream
) -> None:
    doors = Doors()
    upstream.script = doors.answer
    limit(table, upstream.url, 1, queue_s=0)
    held = await ask(gateway, "held")
    await eventually(lambda: doors.arrived)
    async with ScriptedUpstream() as other:
        record = ProviderRecord.model_validate(
            {"id": "o", "workspace": "default", "name": "other", "host_url": other.url, "status": "READY"}
            | {"options": {"max_concurrency": 1}}
        )
        table.put("provider/default/other", record.payload())
        response = await exchange(gateway.url, build_request("GET", f"{BASE}/provider/other/-/x"))
        assert response.status == 200
    doors.open(b"held")
    assert (await held).status == 200

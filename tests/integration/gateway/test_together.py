"""Many clients at once, some with several requests in one piece: every reply is its own, and in its place."""

import asyncio
import hashlib

import pytest

from modelport_gateway.send import cork
from modelport_testing.gateway_harness import BASE, Gateway, MemoryTable
from modelport_testing.raw_client import RawClient, build_json
from modelport_testing.scripted_upstream import Answering, RawRequest, ScriptedUpstream

CLIENTS, ROUNDS = 24, 12
SIZES = (3, 900, cork.SMALL - 300, cork.SMALL + 300, 70_000)
"""Around what is gathered and what is written at once."""


async def echo(request: RawRequest, answering: Answering) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(request.body)
    await answering.send(head + request.body)


def body(client: int, number: int) -> bytes:
    seed = hashlib.sha256(b"%d %d" % (client, number)).hexdigest().encode()
    return (seed * (SIZES[(client + number) % len(SIZES)] // len(seed) + 1))[: SIZES[(client + number) % len(SIZES)]]


async def ask(url: str, client: int) -> None:
    at_once = client % 4 + 1
    async with await RawClient.connect(url) as raw:
        for first in range(0, ROUNDS, at_once):
            numbers = range(first, min(first + at_once, ROUNDS))
            route = f"{BASE}/provider/openai/-/echo"
            await raw.send(b"".join(build_json(route, body(client, number)) for number in numbers))
            for number in numbers:
                response = await raw.read_response()
                assert (response.status, response.body) == (200, body(client, number)), (client, number)


@pytest.mark.parametrize("few", [-1, cork.FEW, 10_000])
async def test_replies_are_never_mixed_up(
    table: MemoryTable, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(cork, "FEW", few)
    upstream.script = echo
    async with Gateway(table) as gateway:
        await asyncio.gather(*(ask(gateway.url, client) for client in range(CLIENTS)))

"""A client that leaves takes its request with it: the provider's connection closes at once, whatever it was doing.

Measured from the client's close to the provider's notice, both in this process, through a gateway in its own.
"""

import asyncio
import select
import socket
import statistics
import struct
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from modelport_contracts.records import ProviderRecord
from modelport_testing.gateway_harness import BASE, Gateway, MemoryEntry, MemoryTable
from modelport_testing.gateways import Fleet
from modelport_testing.polling import eventually
from modelport_testing.raw_client import RawClient, build_request
from modelport_testing.scripted_upstream import Answering, RawRequest, ScriptedUpstream

TIMES = 30
GOAL_S = 0.050
MAX_S = 5.0
"""Of one among many, on a machine that has other things to do."""
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ROUTE = f"{BASE}/provider/openai/-/"

Leave = Callable[[RawClient], Awaitable[None]]


async def close(client: RawClient) -> None:
    client.writer.close()


async def reset(client: RawClient) -> None:
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.abort()


async def half_close(client: RawClient) -> None:
    client.writer.write_eof()


class Scene:
    """A provider that waits until its connection closes, and notes when."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self.upstream = upstream
        self.reached = asyncio.Event()
        self._closed_at: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        upstream.script = self.wait_for_the_end

    async def wait_for_the_end(self, _: RawRequest, answering: Answering) -> None:
        self.reached.set()
        await answering.client_closed(MAX_S * 2)
        self.closed(answering)

    async def stream_to_the_end(self, request: RawRequest, answering: Answering) -> None:
        await answering.send(STREAM_HEAD)
        await answering.send_chunk(b"data: 1\n\n")
        await self.wait_for_the_end(request, answering)

    async def stream_full_tilt(self, _: RawRequest, answering: Answering) -> None:
        await answering.send(STREAM_HEAD)
        try:
            while True:
                async with asyncio.timeout(0.1):
                    await answering.send_chunk(b"data: %b\n\n" % (b"x" * 60000))
        except TimeoutError:
            # All buffers on the way are full: the gateway has stopped reading.
            self.reached.set()
        await answering.client_closed(MAX_S * 2)
        self.closed(answering)

    async def take_nothing(self, _: RawRequest, answering: Answering) -> None:
        """Read no further, and look only whether the connection still stands."""
        poll = select.poll()
        poll.register(answering.writer.get_extra_info("socket").fileno(), select.POLLHUP | select.POLLERR)
        self.reached.set()
        await eventually(lambda: poll.poll(0), MAX_S * 2, interval=0.001)
        self.closed(answering)

    def closed(self, answering: Answering) -> None:
        if not self._closed_at.done():
            self._closed_at.set_result(time.monotonic())
        answering.close()

    async def seconds_after(self, left_at: float) -> float:
        return await asyncio.wait_for(self._closed_at, MAX_S) - left_at


def judge(seconds: list[float]) -> None:
    median, worst = statistics.median(seconds), max(seconds)
    assert median <= GOAL_S, f"median {median * 1000:.1f} ms, worst {worst * 1000:.1f} ms of {len(seconds)}"


Prepare = Callable[[RawClient, str, Scene], Awaitable[None]]


async def before_the_first_byte(client: RawClient, route: str, scene: Scene) -> None:
    await client.send(build_request("POST", route, "Idempotency-Key: k", body=b"{}"))
    await scene.reached.wait()


async def in_the_midst_of_a_stream(client: RawClient, route: str, scene: Scene) -> None:
    scene.upstream.script = scene.stream_to_the_end
    await client.send(build_request("GET", route))
    await client.read_head()
    assert await client.read_chunk() == b"data: 1\n\n"


async def without_reading_a_stream(client: RawClient, route: str, scene: Scene) -> None:
    scene.upstream.script = scene.stream_full_tilt
    await client.send(build_request("GET", route))
    await scene.reached.wait()


async def in_the_midst_of_an_upload(client: RawClient, route: str, scene: Scene) -> None:
    scene.upstream.on_head = scene.wait_for_the_end
    await client.send(build_request("POST", route, "Content-Length: 1000000") + b"x" * 5000)
    await scene.reached.wait()


async def in_an_upload_that_is_not_taken(client: RawClient, route: str, scene: Scene) -> None:
    scene.upstream.on_head = scene.take_nothing
    await client.send(build_request("POST", route, "Transfer-Encoding: chunked"))
    await scene.reached.wait()
    piece = b"10000\r\n%b\r\n" % (b"x" * 65536)
    # Until nothing is taken any more: the gateway has stopped reading too.
    while True:
        client.writer.write(piece)
        try:
            async with asyncio.timeout(0.1):
                await client.writer.drain()
        except TimeoutError:
            return


SCENES: list[tuple[Prepare, Leave]] = [
    (before_the_first_byte, close),
    (before_the_first_byte, reset),
    (before_the_first_byte, half_close),
    (in_the_midst_of_a_stream, close),
    (in_the_midst_of_a_stream, reset),
    (in_the_midst_of_a_stream, half_close),
    (without_reading_a_stream, close),
    (in_the_midst_of_an_upload, close),
    (in_the_midst_of_an_upload, reset),
    # In good order it could not be seen: the end would wait behind what is not taken.
    (in_an_upload_that_is_not_taken, reset),
]


@pytest.mark.parametrize(
    ("prepare", "leave"), SCENES, ids=[f"{prepare.__name__}-{leave.__name__}" for prepare, leave in SCENES]
)
async def test_the_provider_s_connection_closes(fleet: Fleet, prepare: Prepare, leave: Leave) -> None:
    seconds = []
    async with ScriptedUpstream() as upstream:
        route = fleet.register(f"left-{prepare.__name__}-{leave.__name__}".replace("_", "-"), upstream.url)
        for _ in range(TIMES if prepare not in (without_reading_a_stream, in_an_upload_that_is_not_taken) else 8):
            scene = Scene(upstream)
            client = await RawClient.connect(fleet[0].url, limit=4096)
            await asyncio.wait_for(prepare(client, route, scene), MAX_S)
            left_at = time.monotonic()
            await leave(client)
            seconds.append(await scene.seconds_after(left_at))
            client.abort()
    judge(seconds)


class SlowTable(MemoryTable):
    """Answers nothing until told to."""

    def __init__(self) -> None:
        super().__init__(hides=True)
        self.cancelled = 0

    async def get(self, key: str, /, *, min_revision: int = 0) -> MemoryEntry:
        return (await self.get_many([key]))[key]

    async def get_many(self, wanted: Sequence[str], /) -> dict[str, MemoryEntry]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        raise AssertionError("unreachable")


async def leave_while_waiting(gateway: Gateway, body: bytes, leave: Leave) -> float:
    client = await RawClient.connect(gateway.url)
    await client.send(build_request("POST", ROUTE, body=body))
    await eventually(lambda: len(gateway.plane.context.active) == 1)
    await asyncio.sleep(0.02)  # so that it waits for what it is to wait for, and not for its turn
    left_at = time.monotonic()
    await leave(client)
    await eventually(lambda: not gateway.plane.context.active, MAX_S, interval=0.001)
    client.abort()
    return time.monotonic() - left_at


BODIES = pytest.mark.parametrize("body", [b"{}", b"x" * 200_000], ids=["small", "held"])
"""What is held of a body that waits is bounded: of the second the gateway has stopped reading."""


@BODIES
@pytest.mark.parametrize("leave", [close, reset, half_close])
async def test_who_leaves_while_the_route_is_looked_up(body: bytes, leave: Leave) -> None:
    table = SlowTable()
    async with Gateway(table) as gateway:
        judge([await leave_while_waiting(gateway, body, leave) for _ in range(10)])
        assert table.cancelled == 10


@BODIES
@pytest.mark.parametrize("leave", [close, reset, half_close])
async def test_who_leaves_while_the_connection_is_made(body: bytes, leave: Leave) -> None:
    # A listener that accepts nobody and whose queue is full: whoever connects waits.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        table = MemoryTable()
        table.put("provider/default/openai", _provider(port))
        try:
            async with Gateway(table) as gateway:
                judge([await leave_while_waiting(gateway, body, leave) for _ in range(10)])
                await eventually(lambda: gateway.access_log.count(b"client_closed") == 10)
        finally:
            for filler in fillers:
                filler.close()


def _provider(port: int) -> bytes:
    record = ProviderRecord(
        id="model-provider-1",
        workspace="default",
        name="openai",
        host_url=f"http://127.0.0.1:{port}",
        status="READY",
        generation=1,
    )
    return record.payload()

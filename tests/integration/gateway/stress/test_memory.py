"""Backpressure both ways: whatever the size of a body and the pace of its reader, little of it is in the gateway."""

import asyncio
import contextlib
import hashlib
import os
import re
import resource
import select
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, cast

import pytest

from modelport_testing.gateways import Fleet, GatewayProcess
from modelport_testing.polling import eventually

MIB = 1024 * 1024
BLOCKS = 1024
BLOCK = os.urandom(MIB)
MAX_GROWTH = 32 * MIB
BURST = 8 * MIB
REST_S = 0.005
"""The slow side takes a burst, then rests: it never keeps up with the fast one."""
STREAMS = 200
MAX_PER_STREAM = 640 * 1024
"""A transport's high-water mark (64 KiB), one read of the event loop's beyond it (250 KiB) and the connections, times
two: a read lies in memory a second time, cut into what is sent on, until it is let go, and the allocator keeps some of
that. What came from an endless sender without backpressure would be many times as much."""
DEADLINE_S = 40.0


@cache
def whole_digest() -> str:
    digest = hashlib.sha256()
    for _ in range(BLOCKS):
        digest.update(BLOCK)
    return digest.hexdigest()


@dataclass(frozen=True)
class Taken:
    """What the slow side got."""

    count: int
    digest: str


class Memory:
    """The resident memory of a process (Linux's /proc)."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def read(self, name: str) -> int:
        """Return VmRSS or VmHWM in bytes."""
        found = re.search(rf"^{name}:\s+(\d+) kB$", (self._folder / "status").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def forget_peak(self) -> int:
        """Let VmHWM begin anew; return VmRSS."""
        (self._folder / "clear_refs").write_text("5")
        return self.read("VmRSS")


def send_blocks(to: socket.socket, *, chunked: bool) -> None:
    piece = b"%x\r\n%b\r\n" % (MIB, BLOCK) if chunked else BLOCK
    for _ in range(BLOCKS):
        to.sendall(piece)
    if chunked:
        to.sendall(b"0\r\n\r\n")


def take_slowly(stream: IO[bytes], *, chunked: bool) -> Taken:
    digest = hashlib.sha256()
    count = in_burst = 0
    for piece in _chunks(stream) if chunked else _pieces(stream):
        digest.update(piece)
        count += len(piece)
        in_burst += len(piece)
        if in_burst >= BURST:
            in_burst = 0
            # A whole second in the midst: the fast side is held back, or the gateway grows.
            time.sleep(1.0 if count // BURST == BLOCKS * MIB // BURST // 2 else REST_S)
    return Taken(count, digest.hexdigest())


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    left = BLOCKS * MIB
    while left and (piece := stream.read(min(left, 256 * 1024))):
        left -= len(piece)
        yield piece


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while size := int(stream.readline(), 16):
        yield stream.read(size)
        stream.read(2)
    stream.readline()


def read_head(stream: IO[bytes]) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        assert line, "closed within a head"
        head += line
    return head


class BlockingUpstream:
    """Serves one connection with blocking calls, in a thread: no event loop of the test's own slows a big body."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(DEADLINE_S)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.close()

    def once(self, serve: Callable[[socket.socket, IO[bytes]], Taken | None]) -> "Future[Taken | None]":
        """Serve the next connection."""

        def run() -> Taken | None:
            connection, _ = self._listener.accept()
            with connection, connection.makefile("rb", buffering=MIB) as made:
                stream = cast(IO[bytes], made)
                connection.settimeout(DEADLINE_S)
                read_head(stream)
                return serve(connection, stream)

        return self._threads.submit(run)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as running:
        yield running


@pytest.fixture
def big(threads: ThreadPoolExecutor) -> Iterator[BlockingUpstream]:
    upstream = BlockingUpstream(threads)
    yield upstream
    upstream.close()


def framing(chunked: bool) -> bytes:
    return b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (BLOCKS * MIB)


@contextlib.contextmanager
def connected(gateway: GatewayProcess) -> Iterator[tuple[socket.socket, IO[bytes]]]:
    with (
        socket.create_connection(("127.0.0.1", gateway.port), DEADLINE_S) as client,
        client.makefile("rb", buffering=MIB) as stream,
    ):
        yield client, cast(IO[bytes], stream)


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_a_huge_reply_to_a_slow_reader(fleet: Fleet, big: BlockingUpstream, chunked: bool) -> None:
    route = fleet.register(f"big-reply-{chunked:d}", big.url)
    memory = Memory(fleet[0].pid)

    def serve(connection: socket.socket, _: IO[bytes]) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing(chunked))
        send_blocks(connection, chunked=chunked)

    served = big.once(serve)
    before = memory.forget_peak()
    with connected(fleet[0]) as (client, stream):
        client.sendall(b"GET %b HTTP/1.1\r\nHost: test\r\n\r\n" % route.encode())
        head = read_head(stream)
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert framing(chunked) in head
        taken = take_slowly(stream, chunked=chunked)
    served.result(DEADLINE_S)
    assert taken == Taken(BLOCKS * MIB, whole_digest())
    assert memory.read("VmHWM") - before < MAX_GROWTH


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_a_huge_upload_to_a_slow_provider(
    fleet: Fleet, big: BlockingUpstream, threads: ThreadPoolExecutor, chunked: bool
) -> None:
    route = fleet.register(f"big-upload-{chunked:d}", big.url)
    memory = Memory(fleet[0].pid)

    def serve(connection: socket.socket, stream: IO[bytes]) -> Taken:
        taken = take_slowly(stream, chunked=chunked)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        return taken

    served = big.once(serve)
    before = memory.forget_peak()
    with connected(fleet[0]) as (client, stream):
        client.sendall(b"POST %b HTTP/1.1\r\nHost: test\r\n%b\r\n\r\n" % (route.encode(), framing(chunked)))
        sending = threads.submit(send_blocks, client, chunked=chunked)
        taken = served.result(DEADLINE_S)
        sending.result(DEADLINE_S)
        assert read_head(stream).startswith(b"HTTP/1.1 200 OK\r\n")
        assert stream.read(4) == b"done"
    assert taken == Taken(BLOCKS * MIB, whole_digest())
    assert memory.read("VmHWM") - before < MAX_GROWTH


class EndlessUpstream:
    """Sends replies that do not end, or takes none of the uploads it is sent, on many connections at once."""

    def __init__(self, *, reads: bool) -> None:
        self.begun = 0
        """Requests of which the head has come."""
        self.sent = 0
        self.left = 0
        """Connections that the gateway has closed; counted where nothing is read."""
        self.url = ""
        self._reads = reads
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "EndlessUpstream":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=STREAMS, limit=4096)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    @property
    def open(self) -> int:
        return len(self._writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.begun += 1
            if self._reads:
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while True:
                    writer.write(b"10000\r\n%b\r\n" % BLOCK[:65536])
                    await writer.drain()
                    self.sent += 65536
            else:
                # Looked at from below: to read would be to take.
                sock = writer.get_extra_info("socket")
                poll = select.poll()
                poll.register(sock.fileno(), select.POLLHUP | select.POLLERR | select.POLLRDHUP)
                await eventually(lambda: poll.poll(0), DEADLINE_S * 2, interval=0.2)
                self.left += 1
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


class Standstill:
    """Tells when a number has stopped growing for a second."""

    def __init__(self, number: Callable[[], int]) -> None:
        self._number = number
        self._last = -1
        self._since = 0.0

    def __call__(self) -> bool:
        now = self._number()
        if now != self._last:
            self._last, self._since = now, time.monotonic()
        return now > 0 and time.monotonic() - self._since > 1.0


@pytest.fixture
async def clients(fleet: Fleet) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """Connections that read next to nothing: no more than fits into a buffer of the reader's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    made = []
    for _ in range(STREAMS):
        _, writer = await asyncio.open_connection("127.0.0.1", fleet[0].port, limit=4096)
        made.append(writer)
    yield made
    for writer in made:
        writer.transport.abort()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_many_replies_whose_readers_have_stopped(fleet: Fleet, clients: list[asyncio.StreamWriter]) -> None:
    memory = Memory(fleet[0].pid)
    async with EndlessUpstream(reads=True) as upstream:
        route = fleet.register("endless", upstream.url)
        before = memory.forget_peak()
        for client in clients:
            client.write(b"GET %b HTTP/1.1\r\nHost: test\r\n\r\n" % route.encode())
        await eventually(lambda: upstream.begun == STREAMS, DEADLINE_S)
        await eventually(Standstill(lambda: upstream.sent), DEADLINE_S)
        assert (memory.read("VmHWM") - before) / STREAMS < MAX_PER_STREAM
        for client in clients:
            client.transport.abort()
        await eventually(lambda: upstream.open == 0, DEADLINE_S)


async def test_many_uploads_that_no_provider_takes(fleet: Fleet, clients: list[asyncio.StreamWriter]) -> None:
    memory = Memory(fleet[0].pid)
    sent = 0

    async def upload(client: asyncio.StreamWriter) -> None:
        nonlocal sent
        client.write(b"POST %b HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n" % route.encode())
        while True:
            client.write(b"10000\r\n%b\r\n" % BLOCK[:65536])
            await client.drain()
            sent += 65536

    async with EndlessUpstream(reads=False) as upstream:
        route = fleet.register("takes-nothing", upstream.url)
        before = memory.forget_peak()
        uploads = [asyncio.ensure_future(upload(client)) for client in clients]
        await eventually(lambda: upstream.begun == STREAMS, DEADLINE_S)
        await eventually(Standstill(lambda: sent), DEADLINE_S)
        assert (memory.read("VmHWM") - before) / STREAMS < MAX_PER_STREAM
        # Nothing is read from them; that they leave is noticed nevertheless. (A reset; the end of a connection in
        # good order would wait behind the bytes that nobody takes.)
        for client in clients:
            client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.transport.abort()
        await asyncio.gather(*uploads, return_exceptions=True)
        await eventually(lambda: upstream.left == STREAMS, DEADLINE_S)

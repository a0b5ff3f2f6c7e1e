"""A TCP proxy that can hold bytes back, or swallow them: a network between two parts that misbehaves."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any


class Mode(Enum):
    """What happens to bytes on their way."""

    FORWARD = "forward"
    HOLD = "hold"
    """They wait, and arrive in order when forwarding goes on."""
    SWALLOW = "swallow"
    """They are lost without a word, as in a network that drops packets."""


class TcpProxy:
    """Lies before a port of 127.0.0.1. Methods may be called from any thread."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._loop: asyncio.AbstractEventLoop
        self._stop = asyncio.Event()
        self._mode = Mode.FORWARD
        self._forwarding = asyncio.Event()
        self._forwarding.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._accepted: set[asyncio.Task[Any]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        """The address for Redis clients."""
        return f"redis://127.0.0.1:{self.port}/0"

    def forward(self) -> None:
        """Let bytes pass. What was swallowed is lost: its connections are reset."""
        self._loop.call_soon_threadsafe(self._set, Mode.FORWARD)

    def hold(self) -> None:
        """Keep bytes back from now on."""
        self._loop.call_soon_threadsafe(self._set, Mode.HOLD)

    def swallow(self) -> None:
        """Lose bytes from now on."""
        self._loop.call_soon_threadsafe(self._set, Mode.SWALLOW)

    def reset(self) -> None:
        """Cut all connections; new ones are taken."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _set(self, mode: Mode) -> None:
        if self._mode is Mode.SWALLOW:
            self._cut()
        self._mode = mode
        (self._forwarding.clear if mode is Mode.HOLD else self._forwarding.set)()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._accepted.add(task)
        task.add_done_callback(self._accepted.discard)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, far_writer}
        self._writers |= both
        pumps = {
            self._loop.create_task(self._pump(reader, far_writer)),
            self._loop.create_task(self._pump(far_reader, writer)),
        }
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.transport.abort()
            self._writers -= both
            await asyncio.wait(pumps)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if self._mode is Mode.SWALLOW:
                    continue
                await self._forwarding.wait()
                writer.write(data)
                await writer.drain()

    async def _run(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        server.close()
        self._set(Mode.FORWARD)
        while self._accepted:
            self._cut()
            await asyncio.wait(set(self._accepted), timeout=0.1)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)


@contextmanager
def start_proxy(target_port: int) -> Iterator[TcpProxy]:
    """Run a proxy in a thread of its own."""
    proxy, started = TcpProxy(target_port), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(proxy._run(started)), name="tcp proxy", daemon=True)
    thread.start()
    started.wait()
    try:
        yield proxy
    finally:
        proxy._end()
        thread.join()

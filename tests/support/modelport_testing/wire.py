"""The network between a client and a server of this machine, which can be cut without either being told."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator


class Wire:
    """Passes on the bytes between `port` and a server. Its methods may be called from any thread."""

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self._server_port = server_port
        self._loop = asyncio.new_event_loop()
        self._whole = asyncio.Event()
        self._whole.set()
        self._open: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """From now on nothing gets through, not even that a connection was closed; what is sent waits.

        As on a network that drops packets: neither side hears of it, and what TCP sends again arrives once mended.
        """
        self._loop.call_soon_threadsafe(self._whole.clear)

    def mend(self) -> None:
        """Let everything through again."""
        self._loop.call_soon_threadsafe(self._whole.set)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await self._whole.wait()
            to_server, from_server = writer, reader
            try:
                from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
                async with asyncio.TaskGroup() as ways:
                    ways.create_task(self._pass(reader, to_server))
                    ways.create_task(self._pass(from_server, writer))
            finally:
                writer.close()
                to_server.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._whole.wait()
                writer.write(data)
                await writer.drain()
            await self._whole.wait()
        except ConnectionError:
            await self._whole.wait()
        writer.close()

    async def _serve(self, started: threading.Event, stop: "asyncio.Event") -> None:
        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._open.add(task := asyncio.ensure_future(self._connection(reader, writer)))
            task.add_done_callback(self._open.discard)

        server = await asyncio.start_server(begin, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await stop.wait()
        server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)


@contextlib.contextmanager
def start_wire(server_port: int) -> Iterator[Wire]:
    """Run a wire to a server in a thread of its own."""
    wire = Wire(server_port)
    started, stop = threading.Event(), asyncio.Event()
    thread = threading.Thread(target=lambda: wire._loop.run_until_complete(wire._serve(started, stop)), daemon=True)
    thread.start()
    started.wait()
    try:
        yield wire
    finally:
        wire._loop.call_soon_threadsafe(stop.set)
        thread.join()
        wire._loop.close()

"""A provider that does what a script says, byte by byte, and records what it was sent, byte by byte."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self, SupportsIndex

from modelport_testing.canaries import hunt

_LIMIT = 2**20
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n" + b'{"hello":"you"}'


@dataclass
class RawRequest:
    """A request as it came."""

    head: bytes
    """Up to and with the empty line."""
    body: bytes = b""
    """Without its framing."""
    connection: int = 0
    """Which connection it came on, counted from 1."""
    framed: bytes = b""
    """The body with its framing."""

    @property
    def request_line(self) -> bytes:
        return self.head.split(b"\r\n", 1)[0]

    @property
    def method(self) -> bytes:
        return self.request_line.split(b" ")[0]

    @property
    def target(self) -> bytes:
        return self.request_line.split(b" ")[1]

    @property
    def lines(self) -> list[bytes]:
        """The header lines as they came."""
        return self.head[:-4].split(b"\r\n")[1:]

    def values(self, name: str) -> list[bytes]:
        """Return all values of a header."""
        wanted = name.lower().encode()
        return [line.partition(b":")[2].strip() for line in self.lines if line.partition(b":")[0].lower() == wanted]


class Answering:
    """The connection on which a script answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.closes = False

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def send_chunk(self, data: bytes) -> None:
        """Send one chunk."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def close(self) -> None:
        """Close in good order after this."""
        self.closes = True

    def reset(self) -> None:
        """Close with a reset."""
        self.closes = True
        self.writer.transport.abort()

    async def client_closed(self, timeout_s: float = 5) -> None:
        """Return once the other side has closed."""
        async with asyncio.timeout(timeout_s):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                pass


@dataclass
class Recording:
    """Every byte that came on one connection, whatever was made of it."""

    data: bytearray = field(default_factory=bytearray)
    is_closed: bool = False
    """The other side has closed."""


class RecordingReader(asyncio.StreamReader):
    """Keeps a recording."""

    def __init__(self, recording: Recording) -> None:
        super().__init__(limit=_LIMIT)
        self._recording = recording

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        self._recording.data.extend(data)
        super().feed_data(data)

    def feed_eof(self) -> None:
        self._recording.is_closed = True
        super().feed_eof()

    def set_exception(self, exc: Exception) -> None:
        self._recording.is_closed = True
        super().set_exception(exc)


Script = Callable[[RawRequest, Answering], Awaitable[None]]


async def answer_ok(_: RawRequest, answering: Answering) -> None:
    """Answer 200 with a small JSON body."""
    await answering.send(OK)


@dataclass
class ScriptedUpstream:
    """Runs `script` for each request; `on_head`, if set, runs as soon as the head is there, in its place.

    With `records`, `recordings` has all that came, a recording per connection in the order in which they were opened.
    """

    script: Script = answer_ok
    on_head: Script | None = None
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    bind_port: int = 0
    """0 picks a free one."""
    requests: list[RawRequest] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0
    errors: list[BaseException] = field(default_factory=list)
    records: bool = False
    recordings: list[Recording] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    def __repr__(self) -> str:
        return f"<ScriptedUpstream connections={self.connections} requests={len(self.requests)}>"

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        printer.text(repr(self))  # hypothesis shows the fields of a dataclass otherwise

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, self.host, self.bind_port, ssl=self.tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        for request in self.requests:
            hunt().recording("a scripted provider", request.head, request.body)
        for error in self.errors:
            raise error

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}" if self.tls is None else f"https://localhost:{self.port}"

    @property
    def last(self) -> RawRequest:
        return self.requests[-1]

    @property
    def recorded(self) -> list[Recording]:
        """The recordings in which there is something."""
        return [recording for recording in self.recordings if recording.data]

    def forget_recordings(self) -> None:
        """Record from here on."""
        for recording in self.recordings:
            recording.data.clear()

    def _connection(self) -> asyncio.StreamReaderProtocol:
        if not self.records:
            return asyncio.StreamReaderProtocol(asyncio.StreamReader(limit=_LIMIT), self._accept)
        recording = Recording()
        self.recordings.append(recording)
        return asyncio.StreamReaderProtocol(RecordingReader(recording), self._accept)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.ensure_future(self._serve(self.connections, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_connections += 1
        answering = Answering(reader, writer)
        try:
            while not answering.closes:
                head = await reader.readuntil(b"\r\n\r\n")
                request = RawRequest(head, connection=number)
                self.requests.append(request)
                if self.on_head is not None:
                    await self.on_head(request, answering)
                else:
                    await read_body(reader, request)
                    await self.script(request, answering)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.errors.append(error)
        finally:
            self.open_connections -= 1
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()


async def read_body(reader: asyncio.StreamReader, request: RawRequest) -> None:
    """Read the body that the request's head announces."""
    if request.values("transfer-encoding"):
        while True:
            line = await reader.readuntil(b"\r\n")
            request.framed += line
            size = int(line.split(b";")[0], 16)
            if size == 0:
                break
            chunk = await reader.readexactly(size + 2)
            request.framed += chunk
            request.body += chunk[:-2]
        while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
            request.framed += line
        request.framed += b"\r\n"
        return
    lengths = request.values("content-length")
    if lengths:
        request.body = request.framed = await reader.readexactly(int(lengths[0]))


def reply_with(data: bytes, *, closes: bool = False) -> Script:
    """Make a script that sends these bytes, and closes if told."""

    async def script(_: RawRequest, answering: Answering) -> None:
        await answering.send(data)
        if closes:
            answering.close()

    return script

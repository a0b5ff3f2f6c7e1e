"""A client that sends exactly the bytes it is told to, and shows exactly the bytes it got."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from modelport_testing.canaries import Place, hunt


class TruncatedError(Exception):
    """The connection ended before the reply was complete; `raw` is what had come."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(f"the reply ended after {len(raw)} bytes: {raw[-200:]!r}")
        self.raw = raw


@dataclass(frozen=True)
class RawResponse:
    """A reply, taken apart but not interpreted."""

    head: bytes
    """Up to and with the empty line."""
    body: bytes
    """Without its framing."""
    chunks: tuple[bytes, ...] = ()
    """The chunks it came in, if chunked."""
    trailers: bytes = b""

    @property
    def status_line(self) -> bytes:
        return self.head.split(b"\r\n", 1)[0]

    @property
    def status(self) -> int:
        return int(self.status_line.split(b" ")[1])

    @property
    def lines(self) -> list[bytes]:
        """The header lines as they came."""
        return self.head[:-4].split(b"\r\n")[1:]

    def values(self, name: str) -> list[bytes]:
        """Return all values of a header."""
        wanted = name.lower().encode()
        return [line.partition(b":")[2].strip() for line in self.lines if line.partition(b":")[0].lower() == wanted]

    def value(self, name: str) -> bytes | None:
        """Return a header's only value."""
        values = self.values(name)
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None


class RawClient:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, url: str, *, limit: int = 2**20) -> Self:
        """Connect to an http:// URL's host and port."""
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=limit)
        return cls(reader, writer)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def close(self) -> None:
        """Close in good order."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def abort(self) -> None:
        """Close with a reset."""
        self.writer.transport.abort()

    async def read_head(self, timeout_s: float = 10) -> bytes:
        """Read up to and with an empty line."""
        async with asyncio.timeout(timeout_s):
            try:
                return await self.reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as error:
                raise TruncatedError(error.partial) from None

    async def read_response(self, method: str = "GET", timeout_s: float = 10) -> RawResponse:
        """Read one reply. Raises TruncatedError where the connection ends within it."""
        async with asyncio.timeout(timeout_s):
            response = await self._read_response(method, timeout_s)
        if response.status >= 400:
            hunt().content(Place.ANSWER, "a raw connection", response.head + response.body)
        return response

    async def _read_response(self, method: str, timeout_s: float) -> RawResponse:
        head = await self.read_head(timeout_s)
        response = RawResponse(head, b"")
        try:
            if method == "HEAD" or response.status in (204, 304) or response.status < 200:
                return response
            if response.value("transfer-encoding") is not None:
                return await self._read_chunked(head)
            length = response.value("content-length")
            if length is not None:
                return RawResponse(head, await self.reader.readexactly(int(length)))
            return RawResponse(head, await self.reader.read())
        except asyncio.IncompleteReadError as error:
            raise TruncatedError(head + error.partial) from None

    async def _read_chunked(self, head: bytes) -> RawResponse:
        chunks: list[bytes] = []
        while True:
            try:
                size = int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16)
                if size == 0:
                    break
                chunks.append((await self.reader.readexactly(size + 2))[:-2])
            except asyncio.IncompleteReadError as error:
                raise TruncatedError(head + b"".join(chunks) + error.partial) from None
        trailers = b""
        while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
            trailers += line
        return RawResponse(head, b"".join(chunks), tuple(chunks), trailers)

    async def read_chunk(self, timeout_s: float = 10) -> bytes:
        """Read one chunk of a reply whose head was read with `read_head`; empty: the last one's size line."""
        async with asyncio.timeout(timeout_s):
            try:
                size = int(await self.reader.readuntil(b"\r\n"), 16)
                return (await self.reader.readexactly(size + 2))[:-2] if size else b""
            except asyncio.IncompleteReadError as error:
                raise TruncatedError(error.partial) from None

    async def read_to_end(self, timeout_s: float = 10) -> bytes:
        """Read until the other side closes; a reset counts as closing."""
        got = b""
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    data = await self.reader.read(65536)
                except ConnectionError:
                    return got
                if not data:
                    return got
                got += data


async def exchange(url: str, request: bytes, method: str = "GET") -> RawResponse:
    """Send one request on a connection of its own and read the reply."""
    async with await RawClient.connect(url) as client:
        await client.send(request)
        return await client.read_response(method)


def build_request(method: str, target: str, *lines: str, body: bytes = b"", host: str = "gateway.test") -> bytes:
    """Build an HTTP/1.1 request; a body gets its Content-Length."""
    framing = [f"Content-Length: {len(body)}"] if body else []
    head = "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, *framing])
    return head.encode("latin-1") + b"\r\n\r\n" + body


def build_json(target: str, body: bytes, *lines: str, method: str = "POST") -> bytes:
    """Build a request with a JSON body."""
    return build_request(method, target, "Content-Type: application/json", *lines, body=body)

"""GET from another service, in a tenth of the time that a general client takes.

For the few questions that somebody waits for while a change is on its way to every gateway: a secret's value, and
the workspace it is in. httpx spends a millisecond of processor time on each, several times over at the moment when
everything else has to happen too. All else between services uses `service_client`.
"""

import asyncio
import json
import select
import ssl
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

import httptools
import httpx
import structlog

from modelport_contracts.errors import SERVICE_TOKEN_HEADER

MAX_CONNECTIONS = 100
MAX_REPLY_BYTES = 4 * 1024 * 1024
_IDLE_S = 30.0
"""Less than what services keep a connection for (lifecycle.uvicorn_config)."""


class NoAnswerError(Exception):
    """The service cannot be reached, takes too long, or does not answer in HTTP. The text says which, in short."""


class Reply:
    """An answer, whole."""

    __slots__ = ("body", "headers", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        """By lower-case name; of several lines with one name the last."""
        self.body = b""

    def header(self, name: str) -> str | None:
        """Return a header's value."""
        value = self.headers.get(name.lower().encode())
        return None if value is None else value.decode("latin-1")

    def json(self) -> Any:
        """Read the body. Raises ValueError."""
        return json.loads(self.body)


class ServiceGet:
    """Asks one service, with the caller's token, over connections that are kept.

    `base_url` may have a path, and be https. Redirects are not followed, and no proxy of the environment applies.
    """

    def __init__(self, base_url: str, token: str) -> None:
        parts = urlsplit(base_url)
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._tls = httpx.create_ssl_context(trust_env=False)  # what service_client trusts
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._tls else 80)
        self._before = f"GET {parts.path.rstrip('/')}".encode()
        self._after = (
            f" HTTP/1.1\r\nhost: {parts.netloc.rpartition('@')[2]}\r\nuser-agent: modelport\r\n"
            f"accept: application/json\r\n{SERVICE_TOKEN_HEADER}: {token}\r\n"
        ).encode()
        self._idle: list[_Connection] = []
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def get(self, path: str, timeout_s: float = 5.0) -> Reply:
        """Ask for `path`, which is encoded already, within `timeout_s` seconds. Raises NoAnswerError."""
        request = self._request(path)
        try:
            async with asyncio.timeout(timeout_s), self._room:
                return await self._exchange(self._kept() or await self._connect(), request)
        except TimeoutError:
            raise NoAnswerError("takes too long") from None
        except (OSError, httptools.HttpParserError) as error:
            raise NoAnswerError(type(error).__name__) from None

    def _request(self, path: str) -> bytes:
        if not path.isascii() or not path.isprintable() or " " in path:
            raise ValueError("a path is encoded before it is asked for")
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        line = f"x-request-id: {request_id}\r\n\r\n" if request_id else "\r\n"
        return b"%b%b%b%b" % (self._before, path.encode(), self._after, line.encode())

    def _kept(self) -> "_Connection | None":
        oldest = asyncio.get_running_loop().time() - _IDLE_S
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since >= oldest and connection.is_quiet():
                return connection
            connection.close()
        return None

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, self._host, self._port, ssl=self._tls)
        return connection

    async def _exchange(self, connection: "_Connection", request: bytes) -> Reply:
        try:
            reply = await connection.ask(request)
        except BaseException:  # also when who asks has gone: what comes now would be taken for another's answer
            connection.close()
            raise
        if connection.is_open:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        return reply


class _Connection(asyncio.Protocol):
    """One request at a time. A byte that nobody asked for ends it."""

    def __init__(self) -> None:
        self.is_open = False
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._poll = select.poll()
        self._parser: httptools.HttpResponseParser | None = None
        self._waiter: asyncio.Future[Reply] | None = None
        self._reply = Reply()
        self._pieces: list[bytes] = []
        self._size = 0

    async def ask(self, request: bytes) -> Reply:
        """Send a request and wait for its answer."""
        assert self._transport is not None
        self._waiter = asyncio.get_running_loop().create_future()
        self._begin_reply()
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(request)
        return await self._waiter

    def is_quiet(self) -> bool:
        """Say whether an idle connection still stands: the loop may not have seen yet that the service closed it."""
        return self.is_open and not self._poll.poll(0)

    def close(self) -> None:
        """Close, whatever is under way."""
        self.is_open = False
        self._waiter = None
        if self._transport is not None:
            self._transport.abort()

    def _begin_reply(self) -> None:
        self._reply, self._pieces, self._size = Reply(), [], 0

    def _fail(self, error: Exception) -> None:
        waiter = self._waiter
        self.close()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but inheritance
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN | select.POLLHUP)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._parser is None:
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(ConnectionAbortedError())
        except httptools.HttpParserError as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionAbortedError())

    # httptools' callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        self._reply.headers[name.lower()] = value

    def on_body(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > MAX_REPLY_BYTES:
            raise ValueError("too large")  # httptools makes its own error of it
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        parser, waiter = self._parser, self._waiter
        if parser is None or waiter is None:
            self.close()  # a second reply to one request
            return
        status = parser.get_status_code()
        if status < 200:
            self._begin_reply()  # an interim reply; the real one follows
            return
        self._reply.status, self._reply.body = status, b"".join(self._pieces)
        if not parser.should_keep_alive():
            self.is_open = False
        self._waiter = None
        if not waiter.done():
            waiter.set_result(self._reply)
        if not self.is_open:
            self.close()

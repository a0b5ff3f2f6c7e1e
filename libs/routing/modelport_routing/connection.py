"""One RESP3 connection on which replies and pushes arrive in Redis' own order.

redis-py's asyncio client shows pushes only at the next command, and spreads commands over connections; the near
cache rests on one byte stream (docs/propagation.md, rule 15). Replies are handed to a callback inside the read
callback, before anything that follows them is looked at.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import hiredis
from redis.asyncio.connection import SSLConnection, parse_url

Reply = Any
OnReply = Callable[[Reply], None]
OnPush = Callable[[list[Any]], None]
Argument = str | bytes | int

TIMEOUT_S = 1.0
"""A reply that takes longer means that the connection is cut, or might as well be."""
QUIET_S = 0.5
"""A connection on which nothing happens is asked for a sign of life this often."""
_NOTHING = object()


class ConnectionLostError(ConnectionError):
    """The connection ended before the reply came."""


@dataclass(frozen=True)
class RedisAddress:
    """Where Redis is, and how to log in."""

    host: str
    port: int
    path: str | None
    """A unix socket, instead of host and port."""
    username: str | None
    password: str | None = field(repr=False)
    db: int
    tls: bool

    @classmethod
    def from_url(cls, url: str) -> "RedisAddress":
        """Parse redis://, rediss:// or unix://. Raises ValueError."""
        parts: dict[str, Any] = dict(parse_url(url))
        return cls(
            host=parts.get("host", "localhost"),
            port=parts.get("port", 6379),
            path=parts.get("path"),
            username=parts.get("username"),
            password=parts.get("password"),
            db=parts.get("db", 0),
            tls=parts.get("connection_class") is SSLConnection,
        )

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


class Connection(asyncio.Protocol):
    """A pipelining client: commands go out as they are given, replies come back in order."""

    def __init__(self, on_push: OnPush) -> None:
        loop = asyncio.get_running_loop()
        self._clock = loop.time
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._waiting: deque[tuple[OnReply, float]] = deque()
        self._on_push = on_push
        self._transport: asyncio.Transport | None = None
        self._heard_at = self._clock()
        self.lost: asyncio.Future[None] = loop.create_future()
        """Done when the connection has ended, after every open reply was answered with ConnectionLostError."""

    def __repr__(self) -> str:
        return f"<Connection {'lost' if self.lost.done() else 'open'}, {len(self._waiting)} replies awaited>"

    @classmethod
    async def open(cls, address: RedisAddress, on_push: OnPush, *, name: str) -> "Connection":
        """Connect, log in and switch to RESP3. Raises OSError, TimeoutError or hiredis.ReplyError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(TIMEOUT_S):
            if address.path is not None:
                _, connection = await loop.create_unix_connection(lambda: cls(on_push), address.path)
            else:
                context = ssl.create_default_context() if address.tls else None
                _, connection = await loop.create_connection(
                    lambda: cls(on_push), address.host, address.port, ssl=context
                )
            try:
                login = ("AUTH", address.username or "default", address.password) if address.password else ()
                await connection.call("HELLO", 3, *login, "SETNAME", name)
                if address.db:
                    await connection.call("SELECT", address.db)
            except BaseException:
                connection.abort()
                raise
        return connection

    def send(self, on_reply: OnReply, *command: Argument) -> None:
        """Send a command. `on_reply` gets the reply, or an exception, in stream order; it must not raise.

        Raises ConnectionLostError if the connection is known to have ended.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionLostError("the connection to Redis is lost")
        self._waiting.append((on_reply, self._clock()))
        self._transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]  # its stub lacks the dots

    async def call(self, *command: Argument) -> Reply:
        """Send a command and return its reply. Raises ConnectionLostError, hiredis.ReplyError."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def on_reply(reply: Reply) -> None:
            if not future.done():
                future.set_result(reply)

        self.send(on_reply, *command)
        reply = await future
        if isinstance(reply, Exception):
            raise reply
        return reply

    def check(self) -> None:
        """Drop the connection if a reply is overdue; ask for a sign of life if it has been quiet.

        Called every now and then by whoever keeps the connection: a cut that sends no packet is noticed only so. While
        anything comes nothing is cut, however far down a long queue the reply is: replies come in order.
        """
        now = self._clock()
        if self._waiting:
            if now - max(self._waiting[0][1], self._heard_at) > TIMEOUT_S:
                self.abort()
        elif now - self._heard_at >= QUIET_S:
            with contextlib.suppress(ConnectionLostError):
                self.send(_ignore, "PING")

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Implement asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass of asyncio's

    def data_received(self, data: bytes) -> None:
        """Implement asyncio.Protocol."""
        self._heard_at = self._clock()
        try:
            self._reader.feed(data)
            while (message := self._reader.gets()) is not _NOTHING:
                if self.lost.done():
                    return
                if isinstance(message, hiredis.PushNotification):
                    self._on_push(message)
                else:
                    on_reply, _ = self._waiting.popleft()
                    on_reply(message)
        except hiredis.ProtocolError:
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Implement asyncio.Protocol."""
        self._end()

    def _end(self) -> None:
        if self.lost.done():
            return
        self.lost.set_result(None)
        while self._waiting:
            on_reply, _ = self._waiting.popleft()
            on_reply(ConnectionLostError("the connection to Redis is lost"))


def _ignore(_: Reply) -> None:
    """Take a reply that only had to come."""

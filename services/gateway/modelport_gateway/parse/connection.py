"""A client's connection: uvicorn's httptools protocol, with heads cut here and inference requests kept from ASGI.

Requests are taken one at a time: bytes that come while a reply is outstanding wait, so replies keep the order of
requests whichever side serves them. Everything else reaches uvicorn's own class, and with it the FastAPI app, through
the callbacks its parser would have made.
"""

import asyncio
import select
import socket
import struct
from typing import Any, Protocol

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from modelport_gateway.errors import (
    BadRequestError,
    GatewayError,
    HeadTooLargeError,
    MalformedError,
    NotImplementedHereError,
    RequestTimeoutError,
    TargetTooLongError,
)
from modelport_gateway.parse.asgi import ParserView
from modelport_gateway.parse.former import REMEMBERED_S, Former, remembered
from modelport_gateway.parse.framing import NO_BODY, Body, BodyUntilClose, FramingError
from modelport_gateway.parse.hangup import HangupWatch, WatchedFlow
from modelport_gateway.parse.head import RequestHead, check_inference_target, parse_request_head, without_empty_lines
from modelport_gateway.parse.lines import END_OF_HEAD
from modelport_gateway.parse.path import INFERENCE_PREFIX, Call, split_route, split_target
from modelport_gateway.relay.context import Context
from modelport_gateway.relay.exchange import Exchange

_MAX_WAITING = 64 * 1024
_MAX_DISCARDED = 1024 * 1024
_RESET = struct.pack("ii", 1, 0)
_NEVER = float("inf")
_FIRST_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ\r")


class Service(Protocol):
    """Who serves inference requests: the data plane."""

    context: Context
    connections: "set[ClientConnection]"
    hangups: HangupWatch

    def read_call(self, head: RequestHead, route_part: bytes, tail: bytes, query: bytes) -> Call:
        """Read what an inference path asks for. Raises GatewayError."""
        ...

    def begin(self, exchange: Exchange) -> None:
        """Serve a request of which the first bytes are here."""
        ...


class ClientConnection(HttpToolsProtocol):
    """One connection of a client."""

    service: Service

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.parser = None  # type: ignore[assignment]  # heads are parsed here
        # Of the connection
        self.is_written = False
        self._context = self.service.context
        self._buffer = b""
        """Bytes of a head that is not complete, or that wait for the reply before."""
        self._deadline = _NEVER
        self._closes = False
        """No further request is taken."""
        self._is_leaving = False
        """uvicorn is about to exit: what has begun to come, or comes within a moment, is still served."""
        self._is_held = False
        """The next request waits until the client has taken enough of the replies before."""
        self._left_over = 0
        self._idle_since = 0.0
        self.former: Former | None = None
        """Dropped when the connection has been idle for a while: it holds what the client sent as credential."""
        # Of the request
        self._exchange: Exchange | None = None
        self._body: Body = NO_BODY
        self._discarded = 0
        self._is_discarding = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow: WatchedFlow = WatchedFlow(transport, self.service.hangups)
        self.service.connections.add(self)
        self._idle_since = self._context.clock.now
        self._deadline = self._idle_since + self._context.timeouts.head_s

    def connection_lost(self, exc: Exception | None) -> None:
        self.service.connections.discard(self)
        self.flow.close()
        self._client_left()
        self._buffer = b""
        self.former = None
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """The client has closed. Or only its sending side, which is taken for the same (docs/dataplane.md, Ends)."""
        # Not first when the connection is lost: that waits until what is left of the reply has been taken.
        self._client_left()

    def _client_left(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_left()

    def data_received(self, data: bytes) -> None:
        if self._closes and self._is_at_boundary:
            return
        if not self._body.done:
            self._take_body(data)
        elif self._exchange is not None or self._asgi_is_busy:
            self._buffer += data
            if len(self._buffer) > _MAX_WAITING:
                self.flow.pause_reading()
        else:
            self._take_head(self._buffer + data if self._buffer else data)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._exchange is not None:
            self._exchange.write_paused()
        elif self._asgi_is_busy:
            self._deadline = self._context.clock.now + self._context.timeouts.idle_s

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._exchange is not None:
            self._exchange.write_resumed()
        elif self._asgi_is_busy:
            self._deadline = _NEVER
        elif self._is_held:
            self._is_held = False
            self.flow.resume_reading()
            self._await_next()

    @property
    def _is_busy(self) -> bool:
        return self._exchange is not None or self._asgi_is_busy

    @property
    def _asgi_is_busy(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    @property
    def _is_at_boundary(self) -> bool:
        return self._body.done and not self._is_busy

    # A head

    def _take_head(self, data: bytes) -> None:
        former = self.former
        if former is not None and (end := former.match(data)):
            self._begin(former.head, former.call, data[end:])
            return
        head = None
        try:
            if data.startswith(b"\r\n"):
                data = without_empty_lines(data)
            end = self._end_of_head(data)
            if end:
                head = parse_request_head(data[:end], self._context.limits.max_fields)
                self._begin_anew(head, data, end)
        except GatewayError as error:
            self._refuse(error, head)

    def _begin_anew(self, head: RequestHead, data: bytes, end: int) -> None:
        """Begin a request whose head, up to `end`, is not like the former. Raises GatewayError."""
        call = self._read_call(head)
        if call is None:
            self._begin_asgi(head, data[end:])
            return
        if head.wants_websocket:
            raise NotImplementedHereError("WebSockets are not forwarded; use HTTP")
        self.former = remembered(self.former, data[:end], head, call, self._context.limits.max_head)
        self._begin(head, call, data[end:])

    def _read_call(self, head: RequestHead) -> Call | None:
        """Return what an inference request asks for; None for any other."""
        former = self.former
        if former is not None and (call := former.call_of(head)) is not None:
            return call
        path, query = split_target(head.target)
        route = split_route(path)
        if route is not None:
            check_inference_target(head.target)
            return self.service.read_call(head, route[0], route[1], query)
        if INFERENCE_PREFIX in path and not path.startswith(b"/"):
            check_inference_target(head.target)
        return None

    def _begin(self, head: RequestHead, call: Call, rest: bytes) -> None:
        """Begin an inference request; `rest` is what came behind its head."""
        self._deadline = _NEVER
        length = head.content_length
        if len(rest) >= length and not head.chunked:
            # All of it is here, as it is for most requests.
            if length <= 0:
                whole, self._buffer = b"", rest
            elif length == len(rest):
                whole, self._buffer = rest, b""
            else:
                whole, self._buffer = rest[:length], rest[length:]
            self._body = NO_BODY
            exchange = self._exchange = Exchange(self, self._context, head, call, whole)
        else:
            self._buffer = b""
            self._body = head.body()
            exchange = self._exchange = Exchange(self, self._context, head, call)
            if rest:
                self._take_body(rest)
            if self._exchange is not exchange:
                return
        self.service.begin(exchange)

    def _begin_asgi(self, head: RequestHead, rest: bytes) -> None:
        self._buffer = b""
        self._body = head.body()
        self._start_asgi(head)
        # Nobody else looks at how a body comes that goes to the app.
        self._deadline = _NEVER if self._body.done else self._context.clock.now + self._context.timeouts.idle_s
        if self._body.done:
            self._buffer = rest
            super().on_message_complete()
        elif rest:
            self._take_body(rest)

    def _end_of_head(self, data: bytes) -> int:
        """Return the offset behind the head, or 0 where it is not complete; then what came is kept."""
        found = data.find(END_OF_HEAD)
        limit = self._context.limits.max_head
        if 0 <= found <= limit - 4:
            return found + 4
        if len(data) >= limit:
            if b"\r\n" not in data[:limit]:
                raise TargetTooLongError(f"the request line is longer than {limit} bytes")
            raise HeadTooLargeError(f"the request's headers are larger than {limit} bytes")
        if data:
            if data[0] not in _FIRST_BYTES or data.count(b"\n") != data.count(b"\r\n"):
                # What cannot become a valid head is not waited for.
                raise MalformedError("this is not HTTP/1.1")
            if not self._buffer:
                self._deadline = self._context.clock.now + self._context.timeouts.head_s
        self._buffer = data
        return 0

    def _refuse(self, error: GatewayError, head: RequestHead | None = None) -> None:
        """Answer a request that never became an exchange, and close: what follows is framed for nobody."""
        self._buffer = b""
        self._lose_framing()
        self._is_discarding = True
        if not self.transport.is_closing():
            self.write(self._context.refusal(error, head))
            self._linger()

    def _lose_framing(self) -> None:
        self._closes = True
        self._body = BodyUntilClose()

    def _start_asgi(self, head: RequestHead) -> None:
        self.on_message_begin()
        self.url = head.target
        for name, value in head.header_pairs():
            self.on_header(name, value)
        self.parser = ParserView(head, is_last=self._context.draining)  # type: ignore[assignment]
        try:
            self.on_headers_complete()
        except (httptools.HttpParserError, UnicodeDecodeError, AttributeError):
            raise BadRequestError("the request target is no path of this server") from None

    # A body

    def _take_body(self, data: bytes) -> None:
        exchange = self._exchange
        body = self._body
        try:
            payload, rest = body.feed(data)
        except FramingError as error:
            self._lose_framing()
            if self._is_discarding:
                self._close()
            elif exchange is not None:
                exchange.fail(MalformedError(f"the request's body is malformed: {error}"))
            else:
                self._close()
            return
        if self._is_discarding:
            self._discard(len(data), body.done, rest)
            return
        if exchange is not None:
            if payload:
                exchange.body_received(payload)
            if body.done:
                exchange.body_ended()
        else:
            self._deadline = _NEVER if body.done else self._context.clock.now + self._context.timeouts.idle_s
            if payload:
                super().on_body(payload)
            if body.done:
                super().on_message_complete()
        if rest:
            self._buffer += rest

    def _discard(self, length: int, done: bool, rest: bytes) -> None:
        """Read on after the reply, so that the client sees the reply and not a reset (RFC 9112, 9.6)."""
        self._discarded += length
        if done:
            self._is_discarding = False
            if self._closes:
                self._close()
                return
            self._buffer = rest
            self._await_next()
        elif self._discarded > _MAX_DISCARDED:
            self._close()

    # What the exchange asks for

    def write(self, data: bytes) -> None:
        """Send reply bytes."""
        if not self.transport.is_closing():
            self._context.cork.write(self, data)

    @property
    def unsent(self) -> int:
        """Reply bytes that the client has not taken yet."""
        self._context.cork.flush()
        return self.transport.get_write_buffer_size()

    def pause_body(self) -> None:
        """Stop reading from the client."""
        if not self.transport.is_closing():
            self.flow.pause_reading()

    def resume_body(self) -> None:
        """Read on."""
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def abort(self) -> None:
        """Close with a reset."""
        self._exchange = None
        self._closes = True
        self._context.cork.flush()
        if not self.transport.is_closing():
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()

    def exchange_ended(self, *, keep_alive: bool) -> None:
        """The reply is complete, or as complete as it will be."""
        self._exchange = None
        if not keep_alive:
            self._closes = True
        self.on_response_complete()

    # Between requests

    def on_response_complete(self) -> None:
        """uvicorn calls this too, at the end of an ASGI reply."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if not self._body.done:
            self._is_discarding = True
            self._discarded = 0
            self._linger()
        elif self._closes:
            self._close()
        elif self.flow.write_paused:
            # Else replies that nobody takes would pile up in memory, one request after the other.
            self._is_held = True
            self.flow.pause_reading()
            self._deadline = self._context.clock.now + self._context.timeouts.idle_s
        else:
            self._await_next()

    def _close(self) -> None:
        """Close once the client has taken what is left, for which it has time as long as it takes anything."""
        self._left_over = self.unsent
        self._deadline = self._context.clock.now + self._context.timeouts.idle_s
        self.transport.close()

    def _linger(self) -> None:
        self._deadline = self._context.clock.now + self._context.timeouts.linger_s
        if self._closes and self.transport.can_write_eof():
            self._context.cork.flush()
            self.transport.write_eof()

    def _await_next(self) -> None:
        timeouts = self._context.timeouts
        self._idle_since = self._context.clock.now
        self._deadline = self._idle_since + (timeouts.linger_s if self._is_leaving else timeouts.keep_alive_s)
        if self._buffer:
            # Not from here: a read full of small requests would nest as deeply as it is long.
            self.loop.call_soon(self._take_waiting)

    def _take_waiting(self) -> None:
        if self._buffer and self._is_at_boundary and not self._closes and not self.transport.is_closing():
            data, self._buffer = self._buffer, b""
            self._take_head(data)

    def drain(self) -> None:
        """Close after the reply that is outstanding, and say so in it."""
        if self._asgi_is_busy:
            super().shutdown()

    def shutdown(self) -> None:
        """uvicorn is about to exit: finish what was begun, close what is idle.

        A client that was just answered may have sent its next request already: such a connection is closed once it
        has been quiet for a moment.
        """
        self._is_leaving = True
        if self._exchange is not None:
            self._exchange.keep_alive = self._exchange.keep_alive and self._exchange.reply_begun
        elif self._is_idle:
            self._deadline = min(self._deadline, self._idle_since + self._context.timeouts.linger_s)
        else:
            self.drain()

    @property
    def _is_idle(self) -> bool:
        return self._is_at_boundary and not self._buffer and not self._closes

    def check_time(self, now: float) -> None:
        """Close a connection that waited too long: for a head, a next request, a lost body, or the client to read."""
        if self.former is not None and self._exchange is None and now - self._idle_since > REMEMBERED_S:
            self.former = None
        if now < self._deadline:
            return
        if self.transport.is_closing():
            if self.unsent == self._left_over:
                self.transport.abort()
            else:
                self._close()
            return
        if self._is_idle and self._has_unread():
            return  # it will have been idle no longer before this is asked again
        self._deadline = _NEVER
        if self._buffer and self._is_at_boundary and not self._closes:
            self._refuse(RequestTimeoutError("the request's headers did not come in time"))
        else:
            self._close()

    def _has_unread(self) -> bool:
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))


def connection_class(service: Service) -> type[ClientConnection]:
    """Return the class for `uvicorn.Config(http=...)`, bound to a data plane."""
    return type("ClientConnection", (ClientConnection,), {"service": service})

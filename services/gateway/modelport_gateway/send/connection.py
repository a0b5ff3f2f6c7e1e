"""One connection to a provider: a request goes out, a reply comes back, then it is kept or closed.

The gateway decides where a reply ends (send/reply.py). Any byte after that end, or with no request outstanding,
means that the two sides disagree: the connection is closed and never used again (docs/dataplane.md).
"""

import asyncio
import select
import socket
import struct
from typing import Protocol, cast

from modelport_gateway.errors import GatewayError, UpstreamProtocolError
from modelport_gateway.parse.framing import Body, FramingError
from modelport_gateway.parse.lines import END_OF_HEAD
from modelport_gateway.parse.pattern import HeadPattern, pattern_of
from modelport_gateway.send.cork import Cork
from modelport_gateway.send.reply import MAX_REPLY_HEAD, ReplyHead, parse_reply_head
from modelport_gateway.send.tls import ResumingContext

_RESET = struct.pack("ii", 1, 0)


class ReplyReceiver(Protocol):
    """Who waits for the reply: the exchange."""

    @property
    def method(self) -> bytes: ...

    def reply_begins(self, reply: ReplyHead, body: Body) -> bytes:
        """Return the head for the client; it leaves with the first bytes of the body."""
        ...

    def relay(self, head: bytes, payload: bytes, done: bool) -> None: ...

    def reply_ended(self) -> None: ...

    def reply_broken(self, error: GatewayError) -> None: ...

    def connection_closed(self, reused: bool, written: bool) -> None:
        """The provider closed before the reply's end; `written` unless nothing of the request had been."""
        ...

    def upload_paused(self) -> None: ...

    def upload_resumed(self) -> None: ...


class ConnectionOwner(Protocol):
    """Who keeps idle connections: the pool."""

    cork: Cork

    def release(self, connection: "UpstreamConnection") -> None: ...

    def forget(self, connection: "UpstreamConnection") -> None: ...


class UpstreamConnection(asyncio.Protocol):
    """A connection to one origin."""

    __slots__ = (
        "_body",
        "_buffer",
        "_former",
        "_interim_bytes",
        "_is_paused",
        "_is_reusable",
        "_owner",
        "_poll",
        "_receiver",
        "_socket",
        "created_at",
        "idle_until",
        "is_written",
        "keep_alive_s",
        "request_is_open",
        "tls",
        "transport",
        "uses",
    )

    def __init__(self, sock: socket.socket, owner: ConnectionOwner, now: float) -> None:
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set before anything else can happen
        self._socket = sock
        self._poll = select.poll()
        self._poll.register(sock.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
        self._owner = owner
        self.created_at = now
        self.idle_until = 0.0
        self.keep_alive_s: int | None = None
        self.uses = 0
        self._receiver: ReplyReceiver | None = None
        self._buffer = b""
        self._former: tuple[HeadPattern, ReplyHead] | None = None
        """The head of the reply before; one like it is not read again (parse/pattern.py)."""
        self._body: Body | None = None
        self._interim_bytes = 0
        self._is_reusable = True
        self._is_paused = False
        self.request_is_open = False
        """The request's body is still being sent."""
        self.is_written = False
        """Something of the request was handed to the transport."""
        self.tls: ResumingContext | None = None
        """Where to leave the session; None without TLS, and once that is done."""

    def __repr__(self) -> str:
        state = "busy" if self._receiver is not None else "idle"
        return f"<UpstreamConnection {state} uses={self.uses}>"

    @property
    def was_reused(self) -> bool:
        return self.uses > 1

    @property
    def unsent(self) -> int:
        """Bytes that the provider has not taken yet."""
        self._owner.cork.flush()
        return self.transport.get_write_buffer_size()

    def is_quiet(self) -> bool:
        """Say whether an idle connection still stands and holds no unread byte. A look, not a promise."""
        return not self.transport.is_closing() and not self._poll.poll(0)

    # The request

    def begin(self, receiver: ReplyReceiver, data: bytes, *, request_is_open: bool) -> None:
        """Send a request, or its beginning."""
        self.uses += 1
        self._receiver = receiver
        self._body = None
        self._interim_bytes = 0
        self.request_is_open = request_is_open
        self.is_written = False
        self._owner.cork.write(self, data)

    def write(self, data: bytes) -> None:
        """Send more of the request's body."""
        if not self.transport.is_closing():
            self._owner.cork.write(self, data)

    def discard(self) -> None:
        """Close at once; whoever waits for a reply is no longer told."""
        self._receiver = None
        self._is_reusable = False
        if self.tls is not None:
            self._leave_session()
        if not self.transport.is_closing():
            if self.request_is_open:
                # A plain end would wait behind what the provider has not taken yet, and have it processed.
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()

    def pause_reading(self) -> None:
        """Stop reading: the client is slower than the provider."""
        if not self._is_paused and not self.transport.is_closing():
            self._is_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._is_paused:
            self._is_paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but inheritance
        context = transport.get_extra_info("sslcontext")
        if isinstance(context, ResumingContext):
            self.tls = context

    def data_received(self, data: bytes) -> None:
        receiver = self._receiver
        if receiver is None:
            self.discard()
            return
        if not self.is_written:
            # What comes before the request has left is no reply to it.
            self.discard()
            receiver.connection_closed(self.was_reused, False)
            return
        try:
            self._take(receiver, data)
        except GatewayError as error:
            self.discard()
            receiver.reply_broken(error)
        except FramingError as error:
            self.discard()
            receiver.reply_broken(UpstreamProtocolError(f"the provider's reply breaks off: {error}"))

    def _take(self, receiver: ReplyReceiver, data: bytes) -> None:
        head = b""
        body = self._body
        if body is None:
            if self._buffer:
                data = self._buffer + data
                self._buffer = b""
            found = self._read_head(data)
            if found is None:
                return
            reply, end = found
            body = self._body = reply.body(receiver.method)
            self._is_reusable = reply.keep_alive and not body.until_close
            self.keep_alive_s = reply.keep_alive_s
            # Before the reply begins: a body that breaks at once can still be told as a 502.
            payload, rest = body.feed(data[end:])
            head = receiver.reply_begins(reply, body)
        else:
            payload, rest = body.feed(data)
        if rest:
            self._is_reusable = False
        done = body.done
        receiver.relay(head, payload, done)
        if done and self._receiver is receiver:
            self._end(receiver)

    def _read_head(self, data: bytes) -> tuple[ReplyHead, int] | None:
        """Return the reply's head and the offset behind it; None where it is not complete."""
        former = self._former
        if former is not None:
            pattern, like = former
            found = pattern.match(data)
            if found is not None:
                reply = like.with_length(found[1])
                if reply is not like:
                    self._former = (pattern, reply)
                return reply, found[0]
        begin = 0
        while True:
            end = data.find(END_OF_HEAD, begin) + 4
            if end < 4 or end - begin > MAX_REPLY_HEAD:
                if len(data) - begin > MAX_REPLY_HEAD:
                    raise UpstreamProtocolError("the provider's reply has more than 64 KiB of headers")
                self._buffer = data[begin:]
                return None
            reply = parse_reply_head(data[begin:end])
            if not reply.is_interim:
                break
            self._interim_bytes += end - begin
            if self._interim_bytes > MAX_REPLY_HEAD:
                raise UpstreamProtocolError("the provider sends interim replies and no other")
            begin = end
        pattern_here = pattern_of(data[begin:end])
        self._former = (pattern_here, reply) if pattern_here is not None else None
        return reply, end

    def _end(self, receiver: ReplyReceiver) -> None:
        self._receiver = None
        self._body = None
        if self.tls is not None:
            self._leave_session()
        if self._is_reusable and not self.request_is_open:
            self.resume_reading()
            self._owner.release(self)
        else:
            self.discard()
        receiver.reply_ended()

    def _leave_session(self) -> None:
        tls, self.tls = self.tls, None
        made_by = self.transport.get_extra_info("ssl_object")
        if tls is not None and made_by is not None:
            tls.keep_session(made_by)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.forget(self)
        receiver, self._receiver = self._receiver, None
        body, self._body = self._body, None
        if receiver is None:
            return
        if body is not None and body.until_close and exc is None:
            receiver.relay(b"", b"", True)
            receiver.reply_ended()
        else:
            receiver.connection_closed(self.was_reused, self.is_written)

    def pause_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.upload_paused()

    def resume_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.upload_resumed()

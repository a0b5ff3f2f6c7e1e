"""One request and its reply: what has come, what has gone, and how it ends.

Client and provider talk to the exchange, never to each other. It starts no task of its own; whoever serves it may
attach one (`task`), which ends when the request is on its way or the client has left.
"""

import asyncio

from modelport_gateway.account.access_log import Record
from modelport_gateway.account.metrics import NO_PROVIDER, Waits
from modelport_gateway.admit.concurrency import Gate
from modelport_gateway.errors import (
    FirstByteTimeoutError,
    GatewayError,
    IdleTimeoutError,
    RequestTimeoutError,
    TotalTimeoutError,
    UpstreamClosedError,
)
from modelport_gateway.parse.framing import LAST_CHUNK, NO_BODY, Body, as_chunk
from modelport_gateway.parse.head import RequestHead
from modelport_gateway.parse.lines import without
from modelport_gateway.parse.path import Call
from modelport_gateway.prepare.target import Target
from modelport_gateway.prepare.url import route_location
from modelport_gateway.relay.client import Client
from modelport_gateway.relay.context import Context
from modelport_gateway.relay.cors import without_cors
from modelport_gateway.relay.event_stream import EventBoundary, boundary_for
from modelport_gateway.relay.replies import CONTINUE, error_event, error_reply, own_reply, provider_reply, relocated
from modelport_gateway.relay.upload import Upload
from modelport_gateway.send.connection import UpstreamConnection
from modelport_gateway.send.reply import ReplyHead

MAX_REPLAY = 64 * 1024
"""A request beyond this is not kept for a second attempt, in bytes."""
_SAFE_TO_REPEAT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})
_CLIENT_LEFT = 499
"""Only in the access log: nginx made this number customary."""


class Exchange:
    """One request on its way to a provider, and the reply on its way back."""

    __slots__ = (
        "_boundary",
        "_client",
        "_context",
        "_first_byte_at",
        "_has_length",
        "_is_ended",
        "_is_invited",
        "_last",
        "_replay",
        "_reply_chunked",
        "_reply_status",
        "_sent_at",
        "_streams_body",
        "_unsent",
        "_upload_paused",
        "_upstream",
        "_write_paused",
        "bytes_out",
        "call",
        "error_code",
        "gate",
        "head",
        "keep_alive",
        "reply_begun",
        "request_id",
        "retried",
        "secret_version",
        "started_at",
        "target",
        "task",
        "upload",
        "waits",
    )

    def __init__(
        self, client: Client, context: Context, head: RequestHead, call: Call, body: bytes | None = None
    ) -> None:
        """`body` is the request's where all of it is here already."""
        self._client = client
        self._context = context
        self.head = head
        self.call = call
        self.request_id = context.request_id(head.request_id)
        self.target: Target | None = None
        self.secret_version = -1
        """Which version of the provider's secret was sent."""
        self.task: asyncio.Task[None] | None = None
        self.gate: Gate | None = None
        """Where this exchange holds a place, which it frees at its end."""
        self.keep_alive = head.keep_alive
        # The request's body
        self.upload = Upload(head.content_length, body)
        self._is_invited = False
        self._streams_body = False
        # The attempt
        self._upstream: UpstreamConnection | None = None
        self._upload_paused = False
        self._replay: bytes | None = None
        self.retried = False
        # The reply
        self.reply_begun = False
        self._reply_chunked = False
        self._has_length = False
        self._reply_status = 0
        self._boundary: EventBoundary | None = None
        self._write_paused = False
        self.bytes_out = 0
        self.error_code = ""
        self._is_ended = False
        # For the metrics: 0.0 and None are steps that it did not come to.
        self.waits: Waits | None = None
        self._sent_at = 0.0
        self._first_byte_at = 0.0
        self.started_at = context.clock.monotonic()
        """Exact, not as of the last tick."""
        self._last = context.clock.now
        self._unsent = 0
        context.active.add(self)

    @property
    def method(self) -> bytes:
        return self.head.method

    # The request's body, as it comes from the client

    def body_received(self, payload: bytes) -> None:
        """Take a piece of the body."""
        self.upload.bytes_in += len(payload)
        self._last = self._context.clock.now
        if self._is_ended:
            return
        if self._streams_body:
            if self._upstream is not None:
                self._upstream.write(as_chunk(payload) if self.head.chunked else payload)
        elif self.upload.hold(payload):
            self._client.pause_body()

    def body_ended(self) -> None:
        """The body is complete."""
        if self._streams_body and self._upstream is not None:
            if self.head.chunked:
                self._upstream.write(LAST_CHUNK)
            self._upstream.request_is_open = False
        self.upload.end()

    async def whole_body(self) -> bytes:
        """Wait for the whole body. Raises BodyTooLargeError beyond Limits.max_read_body."""
        limit = self._context.limits.max_read_body
        if self.head.content_length <= limit:
            self.invite_body()
        self._client.resume_body()
        return await self.upload.whole(limit)

    def waiting(self) -> Waits:
        """Return where to note what this request waits for."""
        if self.waits is None:
            self.waits = Waits()
        return self.waits

    def invite_body(self) -> None:
        """Answer `Expect: 100-continue`, once, unless the body is already coming."""
        if self.head.expects_continue and not self._is_invited and not self.upload.bytes_in and not self.upload.done:
            self._is_invited = True
            self._client.write(CONTINUE)

    # To the provider

    def send(self, upstream: UpstreamConnection, data: bytes) -> None:
        """Send a whole request."""
        self._upstream = upstream
        self._replay = data if len(data) <= MAX_REPLAY else None
        clock = self._context.clock
        self._last = clock.now
        self._sent_at = clock.monotonic()
        upstream.begin(self, data, request_is_open=False)

    def stream(self, upstream: UpstreamConnection, request_head: bytes) -> None:
        """Send the head and what has come of the body; the rest follows as it comes."""
        self._upstream = upstream
        self._streams_body = True
        self._last = self._context.clock.now
        self._sent_at = self._context.clock.monotonic()
        self.invite_body()
        data = self.upload.body()
        self.upload.release()
        if self.head.chunked and data:
            data = as_chunk(data)
        # First of the two: the provider may say at once that it takes no more.
        self._client.resume_body()
        upstream.begin(self, request_head + data, request_is_open=True)

    def upload_paused(self) -> None:
        self._upload_paused = True
        self._client.pause_body()

    def upload_resumed(self) -> None:
        self._upload_paused = False
        self._client.resume_body()

    # The provider's reply

    def reply_begins(self, reply: ReplyHead, body: Body) -> bytes:
        """Return the reply's head for the client."""
        context = self._context
        self._first_byte_at = context.clock.monotonic()
        self.reply_begun = True
        self._replay = None
        self._reply_status = reply.status
        self._boundary = boundary_for(reply) if reply.content_type.startswith(b"text/") else None
        lines = context.cors_lines(self.head)
        if lines:
            reply = reply.with_lines(without_cors(reply.lines))
        if reply.location is not None and self.target is not None:
            reply = relocated(reply, route_location(reply.location, self.target.base, self.call.route.path))
        if reply.status == 204 and reply.content_length >= 0:
            reply = reply.with_lines(without(reply.lines, {b"content-length"}))  # RFC 9110, 8.6
        is_open_ended = reply.chunked or body.until_close
        self._reply_chunked = is_open_ended and body is not NO_BODY and not self.head.is_http_10
        self._has_length = not is_open_ended
        if context.draining or not self.upload.done or (is_open_ended and self.head.is_http_10):
            self.keep_alive = False
        return provider_reply(
            reply,
            request_id=self.request_id,
            date_line=context.clock.date_line,
            chunked=self._reply_chunked,
            close=not self.keep_alive,
            own_lines=lines + context.extra_lines if context.extra_lines else lines,
        )

    def relay(self, head: bytes, payload: bytes, done: bool) -> None:
        """Send reply bytes to the client; head and first bytes in one write."""
        self._last = self._context.clock.now
        if payload:
            self.bytes_out += len(payload)
            if self._boundary is not None:
                self._boundary.passed(payload)
        if self._reply_chunked:
            if payload:
                head += as_chunk(payload)
            if done:
                head += LAST_CHUNK
        elif payload:
            head = head + payload if head else payload
        if head:
            self._client.write(head)

    def reply_ended(self) -> None:
        self._upstream = None
        self._end(keep_alive=self.keep_alive)

    def reply_broken(self, error: GatewayError) -> None:
        self._upstream = None
        self.fail(error)

    def connection_closed(self, reused: bool, written: bool) -> None:
        """The provider closed before its reply was complete: once more if that is safe, else 502."""
        self._upstream = None
        replay = self._replay
        if reused and replay is not None and not self.retried and (not written or self._may_repeat()):
            self.retried = True
            self._context.metrics.retries += 1
            self.waiting().other_s += self._context.clock.monotonic() - self._sent_at
            self._sent_at = 0.0
            self._context.retry(self, replay)
            return
        self.fail(UpstreamClosedError(f"{self._provider} closed the connection before its reply was complete"))

    def _may_repeat(self) -> bool:
        return self.method in _SAFE_TO_REPEAT or self.head.has_idempotency_key

    # The client's side of the reply

    def write_paused(self) -> None:
        """The client reads more slowly than the provider writes."""
        self._write_paused = True
        if self._upstream is not None:
            self._upstream.pause_reading()

    def write_resumed(self) -> None:
        self._write_paused = False
        self._last = self._context.clock.now
        if self._upstream is not None:
            self._upstream.resume_reading()

    def client_left(self) -> None:
        """The client has closed: the request is cancelled at the provider too."""
        if self._is_ended:
            return
        self._drop_upstream()
        if not self.reply_begun:
            self._reply_status = _CLIENT_LEFT
        self.error_code = self.error_code or "client_closed"
        self._finish()

    # Ends

    def answer(self, status: int, body: bytes, own_lines: list[bytes] | None = None) -> None:
        """Reply with JSON made here."""
        self._begin_own(status)
        self._client.write(
            own_reply(
                status,
                body,
                request_id=self.request_id,
                date_line=self._context.clock.date_line,
                close=not self.keep_alive,
                without_body=self.method == b"HEAD" or status == 204,
                own_lines=self._context.own_lines(self.head) if own_lines is None else own_lines,
            )
        )
        self._end(keep_alive=self.keep_alive)

    def fail(self, error: GatewayError) -> None:
        """End with an error: as a reply if none has begun, else by breaking off what was begun."""
        if self._is_ended:
            return
        self._drop_upstream()
        self.error_code = error.error_code
        if self.reply_begun:
            self._break_off(error)
            return
        if error.ends_connection:
            self.keep_alive = False
        self._begin_own(error.status)
        self._client.write(
            error_reply(
                error,
                request_id=self.request_id,
                date_line=self._context.clock.date_line,
                close=not self.keep_alive,
                without_body=self.method == b"HEAD",
                own_lines=self._context.own_lines(self.head),
            )
        )
        self._end(keep_alive=self.keep_alive)

    def _begin_own(self, status: int) -> None:
        self.reply_begun = True
        self._reply_status = status
        if self._context.draining or not self.upload.done:
            self.keep_alive = False

    def _break_off(self, error: GatewayError) -> None:
        if self._boundary is not None and self._reply_chunked and self._boundary.is_between_events:
            # Understood by both official SDKs; the missing last chunk still says that this is no clean end.
            self._client.write(as_chunk(error_event(error)))
            self._end(keep_alive=False)
        elif self._reply_chunked or self._has_length:
            self._end(keep_alive=False)
        else:
            # Nothing but the end of the connection would tell a whole reply from half of one.
            self._finish()
            self._client.abort()

    def _drop_upstream(self) -> None:
        if self._upstream is not None:
            self._upstream.discard()
            self._upstream = None

    def _end(self, *, keep_alive: bool) -> None:
        if not self._is_ended:
            self._finish()
            self._client.exchange_ended(keep_alive=keep_alive)

    def _finish(self) -> None:
        self._is_ended = True
        self.upload.release()
        self._replay = None
        if self.task is not None:
            self.task.cancel()
        if self.gate is not None:
            self.leave_gate()
        context = self._context
        context.active.discard(self)
        target = self.target
        ended_at = context.clock.monotonic()
        context.metrics.finished(
            target.label if target is not None else NO_PROVIDER,
            self.call.route.kind,
            self._reply_status,
            self.error_code,
            self.upload.bytes_in,
            self.bytes_out,
            self.started_at,
            self._sent_at,
            self._first_byte_at,
            ended_at,
            self.waits,
        )
        context.access_log.add(
            context.clock.stamp,
            Record(
                self.request_id,
                self.head.method,
                self.call.logged_path,
                self._reply_status,
                self.error_code,
                target.label if target is not None else "",
                self.upload.bytes_in,
                self.bytes_out,
                ended_at - self.started_at,
            ),
        )

    def leave_gate(self) -> None:
        """Free the place that this exchange holds, if any."""
        gate, self.gate = self.gate, None
        if gate is not None:
            gate.leave()

    def check_time(self, now: float) -> None:
        """End the exchange if the phase it is in has lasted too long."""
        timeouts = self._context.timeouts
        if self.target is not None and self.target.options is not None:
            timeouts = self.target.options.timeouts(timeouts)
        if now - self.started_at > timeouts.total_s:
            self._is_over_time(timeouts.total_s)
            return
        self._note_progress(now)
        idle_for = now - self._last
        if self.reply_begun:
            if idle_for > timeouts.idle_s:
                self._reply_is_stuck(timeouts.idle_s)
        elif not self.upload.done or self._upload_paused:
            if idle_for > timeouts.idle_s:
                self._upload_is_stuck(timeouts.idle_s)
        elif self._upstream is not None and idle_for > timeouts.first_byte_s:
            self.fail(
                FirstByteTimeoutError(f"{self._provider} did not begin to answer within {timeouts.first_byte_s:g} s")
            )

    def _note_progress(self, now: float) -> None:
        """A side that takes what is buffered for it, however slowly, is not stalled."""
        if self._write_paused:
            unsent = self._client.unsent
        elif self._upstream is None and not self.reply_begun and not self.upload.is_awaited:
            self._last = now  # nobody is asked for anything before there is a connection; that has its own time limits
            return
        elif self._upload_paused and self._upstream is not None:
            unsent = self._upstream.unsent
        else:
            return
        if unsent != self._unsent:
            self._unsent = unsent
            self._last = now

    @property
    def _provider(self) -> str:
        return str(self.target.base.origin) if self.target is not None else "the provider"

    def _reply_is_stuck(self, after_s: float) -> None:
        if self._write_paused:
            self._cut_off("client_stalled")
        else:
            self.fail(IdleTimeoutError(f"{self._provider} sent nothing for {after_s:g} s in the midst of its reply"))

    def _is_over_time(self, after_s: float) -> None:
        if self._write_paused:
            self._cut_off(TotalTimeoutError.code)
        else:
            self.fail(
                TotalTimeoutError(
                    f"the request to {self._provider} was not done within {after_s:g} s, the provider's "
                    "options.total_timeout_s"
                )
            )

    def _cut_off(self, error_code: str) -> None:
        """End a reply that its client does not take: nothing more would reach it, so nothing is left to wait for."""
        self._drop_upstream()
        self.error_code = error_code
        self._finish()
        self._client.abort()

    def _upload_is_stuck(self, after_s: float) -> None:
        if self._upload_paused:
            self.fail(IdleTimeoutError(f"{self._provider} took nothing of the request's body for {after_s:g} s"))
        else:
            self.fail(RequestTimeoutError(f"the request's body stopped coming for {after_s:g} s"))

"""A provider's reply head: validated, framed, its lines kept or dropped (docs/dataplane.md, Headers back)."""

import re
from enum import IntEnum
from typing import Final

import httptools

from modelport_gateway.errors import UpstreamProtocolError
from modelport_gateway.parse.fields import FieldTable
from modelport_gateway.parse.framing import (
    MAX_LENGTH_DIGITS,
    NO_BODY,
    Body,
    BodyUntilClose,
    ChunkedBody,
    CountedBody,
)
from modelport_gateway.parse.lines import field_name, tokens
from modelport_gateway.parse.pattern import around_length

MAX_REPLY_HEAD: Final = 64 * 1024
"""Interim replies included, in bytes."""
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""What may not stand in a reason phrase (RFC 9112, 4), and llhttp lets through."""


class ReplyField(IntEnum):
    """What to do with a reply's line."""

    KEEP = 0
    DROP = 1
    CONNECTION = 2
    KEEP_ALIVE = 3
    TRANSFER_ENCODING = 4
    CONTENT_LENGTH = 5
    CONTENT_TYPE = 6
    CONTENT_ENCODING = 7
    DATE = 8
    LOCATION = 9


_READ: Final = {
    b"connection": ReplyField.CONNECTION,
    b"keep-alive": ReplyField.KEEP_ALIVE,
    b"transfer-encoding": ReplyField.TRANSFER_ENCODING,
    b"content-length": ReplyField.CONTENT_LENGTH,
    b"content-type": ReplyField.CONTENT_TYPE,
    b"content-encoding": ReplyField.CONTENT_ENCODING,
    b"date": ReplyField.DATE,
    b"location": ReplyField.LOCATION,
}
_FIRST_KEPT: Final = int(ReplyField.CONTENT_LENGTH)
_HOP_BY_HOP: Final = {b"proxy-connection", b"te", b"trailer", b"upgrade", b"http2-settings", b"proxy-authorization"}
_SCOPED_TO_THE_PROVIDER: Final = {
    b"set-cookie",
    b"set-cookie2",
    b"alt-svc",
    b"strict-transport-security",
    b"public-key-pins",
    b"public-key-pins-report-only",
    b"nel",
    b"report-to",
    b"reporting-endpoints",
    b"clear-site-data",
    b"proxy-authenticate",
    b"x-sendfile",
}
_DROPPED: Final[frozenset[bytes]] = frozenset(_HOP_BY_HOP | _SCOPED_TO_THE_PROVIDER)
_DROPPED_PREFIXES: Final = (b"x-accel-", b"x-modelport-")


def classify_reply_field(name: bytes) -> int:
    """Judge a reply header by its name, in any case."""
    lower = name.lower()
    read = _READ.get(lower)
    if read is not None:
        return read
    if lower in _DROPPED or lower.startswith(_DROPPED_PREFIXES):
        return ReplyField.DROP
    return ReplyField.KEEP


_fields = FieldTable(classify_reply_field)
_DROP: Final = int(ReplyField.DROP)
_CONNECTION: Final = int(ReplyField.CONNECTION)
_CONTENT_LENGTH: Final = int(ReplyField.CONTENT_LENGTH)
_CONTENT_TYPE: Final = int(ReplyField.CONTENT_TYPE)
_DATE: Final = int(ReplyField.DATE)
_TRANSFER_ENCODING: Final = int(ReplyField.TRANSFER_ENCODING)


class ReplyHead:
    """What a reply says before its body. Not changed once it was parsed: like heads share what they say.

    The rare things are defaults of the class: a reply sets only what it has.
    """

    keep_alive_s: int | None = None
    """What the provider announced in Keep-Alive."""
    chunked = False
    content_length = -1
    content_type = b""
    content_encoding: bytes | None = None
    has_date = False
    location: bytes | None = None
    _around_length: tuple[bytes, bytes] | None = None
    _digits = b""

    def __init__(self, status: int, keep_alive: bool) -> None:
        self.status = status
        self.keep_alive = keep_alive
        self.text = b""
        """The status line and the lines that go to the client, as they came and in their order, each with CRLF."""

    @property
    def lines(self) -> list[bytes]:
        """The lines that go to the client."""
        return self.text.split(b"\r\n")[1:-1]

    def with_lines(self, lines: list[bytes]) -> "ReplyHead":
        """Return the head with other lines for the client."""
        status_line = self.text[: self.text.find(b"\r\n")]
        return self._with_text(b"\r\n".join((status_line, *lines, b"")))

    def with_length(self, digits: bytes) -> "ReplyHead":
        """Return the head that differs in its Content-Length only; no digits stand for no difference."""
        if digits == self._digits or not digits:
            return self
        around = self._around_length
        if around is None:
            around = self._around_length = around_length(self.text)
            assert around is not None  # whose digits were cut out of the head has them here too
        other = self._with_text(b"%b%b%b" % (around[0], digits, around[1]))
        other.content_length = int(digits)
        other._digits = digits
        return other

    def _with_text(self, text: bytes) -> "ReplyHead":
        other = ReplyHead.__new__(ReplyHead)
        other.__dict__ = self.__dict__.copy()
        other.text = text
        return other

    def body(self, method: bytes) -> Body:
        """Return how the body ends, in reply to `method` (RFC 9112, 6.3: the order of these rules matters)."""
        if method == b"HEAD" or self.status in (204, 304) or self.status < 200:
            return NO_BODY
        if self.chunked:
            return ChunkedBody()
        if self.content_length >= 0:
            return CountedBody(self.content_length)
        return BodyUntilClose()

    @property
    def is_interim(self) -> bool:
        """True for 1xx: the reply itself is still to come."""
        return self.status < 200

    @property
    def is_event_stream(self) -> bool:
        return self.content_type.partition(b";")[0].strip().lower() == b"text/event-stream"


def parse_reply_head(head: bytes) -> ReplyHead:
    """Parse a head that ends in CRLF CRLF. Raises UpstreamProtocolError."""
    try:
        httptools.HttpResponseParser(None).feed_data(head)
    except httptools.HttpParserUpgrade:
        raise UpstreamProtocolError("the provider switched protocols (101), which nobody asked for") from None
    except httptools.HttpParserError as error:
        raise UpstreamProtocolError(f"the provider's reply is not valid HTTP/1.1: {error}") from None
    lines = head[:-4].split(b"\r\n")
    status_line = lines.pop(0)
    version = status_line[:9]
    if version not in (b"HTTP/1.1 ", b"HTTP/1.0 "):
        raise UpstreamProtocolError("the provider's reply is not HTTP/1.0 or HTTP/1.1")
    status_text = status_line[9:]
    if status_text != b"200 OK" and _CONTROL.search(status_text):
        raise UpstreamProtocolError("the provider's status line holds a control character")
    reply = ReplyHead(int(status_text[:3]), version == b"HTTP/1.1 ")
    if reply.status < 100:
        raise UpstreamProtocolError(f"the provider's reply has no valid status: {reply.status:03d}")
    if reply.status == 101:
        raise UpstreamProtocolError("the provider switched protocols (101), which nobody asked for")
    # Without a reason the space behind the status stays (RFC 9112, 4).
    status_line = b"HTTP/1.1 " + (status_text if len(status_text) > 3 else status_text + b" ")
    reply.text = b"\r\n".join((status_line, *_read_fields(reply, lines), b""))
    if reply.chunked and version != b"HTTP/1.1 ":
        reply.keep_alive = False  # RFC 9112, 6.1: there are no chunks in HTTP/1.0, so its framing is in doubt
    return reply


def _read_fields(reply: ReplyHead, lines: list[bytes]) -> list[bytes]:
    """Read what matters here, and return the lines that go to the client."""
    known = _fields.known
    keep: list[bytes] = []
    named: list[bytes] | None = None
    for line in lines:
        name = line[: line.find(b":")]
        field = known.get(name)
        if field is None:
            field = _fields.learn(name)
        if not field:
            keep.append(line)
            continue
        if field == _DROP:
            continue
        if field >= _FIRST_KEPT:
            keep.append(line)
        if field == _DATE:
            reply.has_date = True
            continue
        value = line[len(name) + 1 :].strip(b" \t")
        if field == _CONTENT_LENGTH:
            if len(value) > MAX_LENGTH_DIGITS:
                raise UpstreamProtocolError("the provider's Content-Length has more digits than any body is long")
            reply.content_length = int(value)
        elif field == _CONTENT_TYPE:
            reply.content_type = value
        elif field == _CONNECTION:
            named = (named or []) + tokens(value)
        elif field == _TRANSFER_ENCODING:
            _read_coding(reply, value)
        elif field == ReplyField.KEEP_ALIVE:
            reply.keep_alive_s = keep_alive_timeout(value)
        elif field == ReplyField.CONTENT_ENCODING:
            reply.content_encoding = value
        else:
            reply.location = value
    if named is not None:
        if b"close" in named:
            reply.keep_alive = False
        elif b"keep-alive" in named:
            reply.keep_alive = True
        drop = {name for name in named if name not in (b"close", b"keep-alive")}
        if drop:
            # A provider cannot take away what this hop itself needs to frame the reply.
            drop.discard(b"content-length")
            reply.has_date = reply.has_date and b"date" not in drop
            return [line for line in keep if field_name(line) not in drop]
    return keep


def _read_coding(reply: ReplyHead, value: bytes) -> None:
    if reply.chunked or value.lower() != b"chunked":
        raise UpstreamProtocolError("the provider's reply has a Transfer-Encoding other than chunked")
    reply.chunked = True


def keep_alive_timeout(value: bytes) -> int | None:
    """Return N of `timeout=N` in a Keep-Alive header."""
    for token in tokens(value):
        name, _, number = token.partition(b"=")
        if name.strip() == b"timeout" and number.strip().isdigit():
            return int(number.strip()[:6])
    return None

"""A request's head: cut, judged, and read once (RFC 9112, 3; docs/dataplane.md, uvicorn and httptools).

llhttp validates the bytes; it accepts several things that a gateway must not forward, and those rules are written
out in `parse_request_head`. The validator sees one head and nothing else, so neither a body nor an `Upgrade` can
make it read bytes in another way than the framing decided here.
"""

import re
from typing import Final

import httptools

from modelport_gateway.errors import (
    BadRequestError,
    ExpectationError,
    HeadTooLargeError,
    MalformedError,
    MethodRefusedError,
    NotImplementedHereError,
    VersionError,
)
from modelport_gateway.parse.fields import FIRST_KEPT, Field, FieldTable, classify
from modelport_gateway.parse.framing import MAX_LENGTH_DIGITS, NO_BODY, Body, ChunkedBody, CountedBody
from modelport_gateway.parse.lines import field_name, field_value, tokens

FORWARDED_METHODS: Final = frozenset({b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS"})
METHODS_WITH_BODY: Final = frozenset({b"POST", b"PUT", b"PATCH"})
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PERSISTENCE: Final = frozenset({b"keep-alive", b"close"})
_fields = FieldTable(classify)

# Looked at for every line: plain integers, since a look-up on an enumeration costs as much as the rest of the loop.
_DROP: Final = int(Field.DROP)
_HOST: Final = int(Field.HOST)
_CONTENT_TYPE: Final = int(Field.CONTENT_TYPE)
_CONTENT_LENGTH: Final = int(Field.CONTENT_LENGTH)
_CONNECTION: Final = int(Field.CONNECTION)
_FIRST_KEPT: Final = int(FIRST_KEPT)
_KEEP_ALIVE: Final = frozenset({b" keep-alive", b" Keep-Alive"})


class RequestHead:
    """What a request says before its body. Not changed once it was parsed: like heads share one.

    The rare things are defaults of the class: a request sets only what it has.
    """

    content_length = -1
    """-1 where the client named none."""
    chunked = False
    expects_continue = False
    wants_websocket = False
    has_idempotency_key = False
    min_revision: bytes | None = None
    content_type: bytes | None = None
    content_encoding: bytes | None = None
    request_id: bytes | None = None
    cdn_loop: bytes | None = None
    origin: bytes | None = None
    preflight_method: bytes | None = None

    def __init__(self, method: bytes, target: bytes, is_http_10: bool, all_lines: list[bytes]) -> None:
        self.method = method
        self.target = target
        self.is_http_10 = is_http_10
        self.all_lines = all_lines
        self.lines: list[bytes] = []
        """Those that may go to a provider, as they came and in their order."""
        self.keep_alive = not is_http_10

    def with_length(self, digits: bytes) -> "RequestHead":
        """Return the head that differs in its Content-Length only; no digits stand for no difference."""
        length = int(digits) if digits else self.content_length
        if length == self.content_length:
            return self
        other = RequestHead.__new__(RequestHead)
        other.__dict__.update(self.__dict__)
        other.content_length = length
        return other

    def body(self) -> Body:
        """Return the framing of the body that follows."""
        if self.chunked:
            return ChunkedBody()
        return CountedBody(self.content_length) if self.content_length > 0 else NO_BODY

    def header_pairs(self) -> list[tuple[bytes, bytes]]:
        """Return all headers as ASGI wants them."""
        return [(field_name(line), field_value(line)) for line in self.all_lines]


def parse_request_head(head: bytes, max_fields: int) -> RequestHead:
    """Parse a head that ends in CRLF CRLF. Raises GatewayError for what must not be forwarded."""
    lines = head[:-4].split(b"\r\n")
    request_line = lines.pop(0)
    if len(lines) > max_fields:
        raise HeadTooLargeError(f"the request has more than {max_fields} header fields; send fewer")
    parts = request_line.split(b" ")
    if len(parts) != 3:
        raise MalformedError("the request line is not METHOD, one space, target, one space, version")
    method, target, version = parts
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        if not version.startswith(b"HTTP/"):
            raise MalformedError("the request line does not end in an HTTP version")
        raise VersionError("this HTTP version is not spoken here; use HTTP/1.1")
    if method not in FORWARDED_METHODS:
        if not _TOKEN.fullmatch(method):
            raise MalformedError("the request line does not begin with a method")
        raise MethodRefusedError("this method is not forwarded; use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS")
    parsed = RequestHead(method, target, version == b"HTTP/1.0", lines)
    _read_fields(parsed)
    _validate(head)
    return parsed


def _validate(head: bytes) -> None:
    try:
        httptools.HttpRequestParser(None).feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # a valid head; the upgrade itself is refused or ignored
    except httptools.HttpParserError as error:
        raise MalformedError(f"the request is not valid HTTP/1.1: {error}") from None


def _read_fields(head: RequestHead) -> None:
    known, keep = _fields.known, head.lines
    hosts = 0
    named: list[bytes] | None = None
    for line in head.all_lines:
        name = line[: line.find(b":")]
        field = known.get(name)
        if field is None:
            field = _fields.learn(name)
        if not field:
            keep.append(line)
            continue
        if field == _DROP:
            continue
        if field == _HOST:
            hosts += 1
            continue
        value = line[len(name) + 1 :]
        if field == _CONNECTION:
            if value not in _KEEP_ALIVE:
                named = (named or []) + tokens(value)
            continue
        value = value.strip(b" \t")
        if field >= _FIRST_KEPT:
            keep.append(line)
        if field == _CONTENT_TYPE:
            head.content_type = value
        elif field == _CONTENT_LENGTH:
            if len(value) > MAX_LENGTH_DIGITS:
                raise MalformedError("the Content-Length has more digits than any body is long")
            # What is no length is left to the validator.
            head.content_length = int(value) if value.isdigit() else -1
        else:
            _read_rare(head, field, value)
    if hosts != 1 and (hosts > 1 or not head.is_http_10):
        raise MalformedError("an HTTP/1.1 request names exactly one Host")
    if named is not None:
        _apply_connection(head, named)


def _read_rare(head: RequestHead, field: int, value: bytes) -> None:
    if field == Field.TRANSFER_ENCODING:
        if head.is_http_10:
            raise MalformedError("an HTTP/1.0 request has no Transfer-Encoding")
        if value.lower() != b"chunked":
            raise NotImplementedHereError("the only Transfer-Encoding spoken here is chunked")
        head.chunked = True
    elif field == Field.EXPECT:
        if value.lower() != b"100-continue":
            raise ExpectationError("the only expectation known here is 100-continue")
        head.expects_continue = not head.is_http_10
    elif field == Field.UPGRADE:
        head.wants_websocket = head.wants_websocket or b"websocket" in tokens(value)
    elif field == Field.MIN_REVISION:
        head.min_revision = value
    elif field == Field.CONTENT_ENCODING:
        head.content_encoding = value if head.content_encoding is None else head.content_encoding + b"," + value
    elif field == Field.REQUEST_ID:
        head.request_id = value
    elif field == Field.CDN_LOOP:
        head.cdn_loop = value if head.cdn_loop is None else head.cdn_loop + b"," + value
    elif field == Field.IDEMPOTENCY_KEY:
        head.has_idempotency_key = True
    elif field == Field.ORIGIN:
        head.origin = value
    else:
        head.preflight_method = value


def _apply_connection(head: RequestHead, named: list[bytes]) -> None:
    if b"close" in named:
        head.keep_alive = False
    drop = {name for name in named if name not in _PERSISTENCE}
    if drop:
        # Whatever Connection names is for this hop alone (RFC 9110, 7.6.1).
        head.lines = [line for line in head.lines if field_name(line) not in drop]


def check_inference_target(target: bytes) -> None:
    """Refuse what llhttp lets through in a request target and no provider should have to judge."""
    if not target.startswith(b"/"):
        raise BadRequestError("send the path alone as the request target, not a whole URL")
    for character in b'#\\"<>':
        if character in target:
            raise BadRequestError(f"the request target holds {chr(character)!r}; percent-encode it")


def without_empty_lines(data: bytes) -> bytes:
    """Drop the empty lines that may come before a request (RFC 9112, 2.2). Raises MalformedError for bare CR or LF."""
    stripped = data.lstrip(b"\r\n")
    dropped = data[: len(data) - len(stripped)].removesuffix(b"\r" if not stripped else b"")
    if dropped != b"\r\n" * (len(dropped) // 2):
        raise MalformedError("this is not HTTP/1.1")
    return data[len(dropped) :]

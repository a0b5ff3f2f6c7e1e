"""Heads and bodies that leave for the client: a provider's reply on its way back, and the gateway's own errors.

The one place that turns a cause into HTTP (docs/wire.md, 2).
"""

import json
from http import HTTPStatus
from typing import Final

from modelport_contracts.errors import ERROR_ORIGIN_HEADER, REQUEST_ID_HEADER, SHOULD_RETRY_HEADER, error_body
from modelport_gateway.errors import GatewayError
from modelport_gateway.parse.lines import field_name
from modelport_gateway.send.reply import ReplyHead

_REQUEST_ID: Final = REQUEST_ID_HEADER.encode() + b": "
_UPSTREAM_ERROR: Final = ERROR_ORIGIN_HEADER.encode() + b": upstream"
_CLOSE: Final = b"Connection: close"
_CHUNKED: Final = b"Transfer-Encoding: chunked"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def provider_reply(
    reply: ReplyHead, *, request_id: bytes, date_line: bytes, chunked: bool, close: bool, own_lines: list[bytes]
) -> bytes:
    """Return the head of a provider's reply for the client (docs/dataplane.md, Headers back).

    `own_lines` are further lines of the gateway's own.
    """
    lines = list(own_lines)
    if reply.status >= 400:
        lines.append(_UPSTREAM_ERROR)
    if not reply.has_date:
        lines.append(date_line)
    if chunked:
        lines.append(_CHUNKED)
    if close:
        lines.append(_CLOSE)
    if not lines:
        return b"%b%b%b\r\n\r\n" % (reply.text, _REQUEST_ID, request_id)
    return b"%b%b%b\r\n%b\r\n\r\n" % (reply.text, _REQUEST_ID, request_id, b"\r\n".join(lines))


def relocated(reply: ReplyHead, location: bytes) -> ReplyHead:
    """Return the reply with another Location in the place of the provider's."""
    if location == reply.location:
        return reply
    lines = [b"Location: " + location if field_name(line) == b"location" else line for line in reply.lines]
    return reply.with_lines(lines)


def own_reply(
    status: int,
    body: bytes,
    *,
    request_id: bytes,
    date_line: bytes,
    close: bool,
    without_body: bool = False,
    own_lines: list[bytes] | None = None,
) -> bytes:
    """Return a whole JSON reply made here. `without_body`: the reply to a HEAD."""
    lines = [
        b"HTTP/1.1 %d %b" % (status, _reason(status)),
        b"x-request-id: " + request_id,
        _REQUEST_ID + request_id,
        date_line,
    ]
    if status != HTTPStatus.NO_CONTENT:
        lines += (b"Content-Type: application/json", b"Content-Length: %d" % len(body))
    lines += own_lines or ()
    if close:
        lines.append(_CLOSE)
    return b"\r\n".join(lines) + b"\r\n\r\n" + (b"" if without_body else body)


def error_reply(
    error: GatewayError,
    *,
    request_id: bytes,
    date_line: bytes,
    close: bool,
    without_body: bool = False,
    own_lines: list[bytes] | None = None,
) -> bytes:
    """Return the reply that tells a cause."""
    lines = [f"{ERROR_ORIGIN_HEADER}: gateway".encode()]
    if error.retry_after_s is not None:
        lines.append(b"Retry-After: %d" % error.retry_after_s)
    if error.status == 409:
        lines.append(f"{SHOULD_RETRY_HEADER}: false".encode())
    lines += [f"{name}: {value}".encode() for name, value in error.headers.items()]
    return own_reply(
        error.status,
        error_json(error),
        request_id=request_id,
        date_line=date_line,
        close=close,
        without_body=without_body,
        own_lines=lines + (own_lines or []),
    )


def error_json(error: GatewayError) -> bytes:
    """Return the error body that every dialect can read."""
    body = error_body(error.status, error.error_code, error.message)
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def error_event(error: GatewayError) -> bytes:
    """Return the event that ends a broken event stream; both official SDKs raise on it (docs/dataplane.md, Ends)."""
    return b"event: error\ndata: " + error_json(error) + b"\n\n"


def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""

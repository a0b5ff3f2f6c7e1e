"""Cross-origin requests from browsers (docs/dataplane.md, Headers back). Off unless origins are configured."""

from collections.abc import Collection

from modelport_contracts.errors import ERROR_ORIGIN_HEADER, REQUEST_ID_HEADER
from modelport_gateway.parse.head import RequestHead
from modelport_gateway.parse.lines import field_name, find_field

_PREFIX = b"access-control-"


def is_allowed(origins: Collection[str], origin: bytes) -> bool:
    """Say whether a page of this origin may call the gateway; `*` allows all."""
    return "*" in origins or origin.decode("latin-1") in origins


def is_preflight(head: RequestHead) -> bool:
    """Say whether a browser asks before it sends the real request (Fetch standard, CORS-preflight request)."""
    return head.method == b"OPTIONS" and head.origin is not None and head.preflight_method is not None


def reply_lines(origins: Collection[str], origin: bytes | None) -> list[bytes]:
    """Return the lines that let a page read a reply."""
    if origin is None or not is_allowed(origins, origin):
        return [b"Vary: Origin"]
    exposed = ", ".join((REQUEST_ID_HEADER, ERROR_ORIGIN_HEADER, "x-request-id", "retry-after")).encode()
    return [
        b"Access-Control-Allow-Origin: " + origin,
        b"Access-Control-Expose-Headers: " + exposed,
        b"Vary: Origin",
    ]


def preflight_lines(origins: Collection[str], head: RequestHead) -> list[bytes]:
    """Return the lines of the reply to a preflight."""
    assert head.origin is not None
    if not is_allowed(origins, head.origin):
        return [b"Vary: Origin"]
    wanted = find_field(head.all_lines, b"access-control-request-headers") or b""
    return [
        b"Access-Control-Allow-Origin: " + head.origin,
        b"Access-Control-Allow-Methods: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
        b"Access-Control-Allow-Headers: " + wanted,
        b"Access-Control-Max-Age: 600",
        b"Vary: Origin, Access-Control-Request-Headers",
    ]


def without_cors(lines: list[bytes]) -> list[bytes]:
    """Drop the provider's own CORS lines; they speak of other pages."""
    return [line for line in lines if not field_name(line).startswith(_PREFIX)]

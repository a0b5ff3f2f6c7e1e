"""Inference paths: which route, which name, and the tail that goes to the provider (docs/dataplane.md, Paths).

Everything here works on the raw bytes of the request target; what is not decoded here goes out as it came.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import unquote_to_bytes

from modelport_contracts.names import NAME_RULE, is_name
from modelport_gateway.errors import BadNameError, BadRequestError

INFERENCE_PREFIX: Final = b"/apis/inference-gateway/v2/workspaces/"
_SEPARATOR: Final = b"/-/"
_DOT_SEGMENT: Final = re.compile(
    rb"(?:^|/|\\|%2f|%5c)(?:\.|%2e){1,2}(?:$|/|\\|;|%2f|%5c|%3b)",
    re.IGNORECASE,
)
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_HAS_ENCODED_DELIMITER: Final = re.compile(rb"%(?:2f|3f)", re.IGNORECASE)
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")
_LEGAL: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/?[]")
"""Bytes that may stand in a path or query as they are (RFC 3986, 3.3 and 3.4, and the brackets of filter[x])."""


class RouteKind(StrEnum):
    """The three ways to a provider."""

    PROVIDER = "provider"
    MODEL = "model"
    OPENAI = "openai"


# Compared with for every request; a look-up on an enumeration is slow.
PROVIDER: Final = RouteKind.PROVIDER
MODEL: Final = RouteKind.MODEL
OPENAI: Final = RouteKind.OPENAI


@dataclass(frozen=True, slots=True)
class RouteName:
    """What the path names, before the separator."""

    kind: RouteKind
    workspace: str
    name: str
    """Empty on the OpenAI route."""
    path: bytes
    """The route's own path up to and with `/-/`, for Location headers."""


class Call:
    """What a request asks for, read from its path; the same for all requests with the same head."""

    __slots__ = ("listing", "logged_path", "query", "route", "start", "start_target", "tail")

    def __init__(
        self, route: RouteName, tail: bytes, query: bytes, *, listing: str | None = None, logged_path: bytes = b""
    ) -> None:
        self.route = route
        self.tail = tail
        self.query = query
        """What goes to the provider behind its own path: `tail`, then `query`."""
        self.listing = listing
        """Set where the listing of models is asked for: the wanted id, or empty for all."""
        self.logged_path = logged_path
        """Path and tail as the access log takes them."""
        self.start_target: object = None
        self.start = b""
        """Room for prepare/outgoing.py: the beginning of the provider's request, as made for `start_target`."""

    def again(self) -> "Call":
        """Return the call of a head with the same method and target, but other lines."""
        return Call(self.route, self.tail, self.query, listing=self.listing, logged_path=self.logged_path)


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """Split a request target into path and query; the query keeps its `?`, and is empty without one."""
    mark = target.find(b"?")
    return (target, b"") if mark < 0 else (target[:mark], target[mark:])


def split_route(path: bytes) -> tuple[bytes, bytes] | None:
    """Split an inference path at its separator into (route part, raw tail); None for any other path.

    The separator is the first `/-/` after the route's name; `/-` at the end is a separator with an empty tail.
    """
    if not path.startswith(INFERENCE_PREFIX):
        return None
    workspace_end = path.find(b"/", len(INFERENCE_PREFIX))
    kind_end = path.find(b"/", workspace_end + 1)
    if workspace_end < 0 or kind_end < 0:
        return None
    kind = path[workspace_end + 1 : kind_end]
    if kind == b"openai":
        name_end = kind_end
    elif kind in (b"provider", b"model"):
        name_end = path.find(b"/", kind_end + 1)
        if name_end < 0:
            return None
    else:
        return None
    if path.startswith(_SEPARATOR, name_end):
        return path[:name_end], path[name_end + 3 :]
    return (path[:name_end], b"") if path[name_end:] == b"/-" else None


def parse_route_part(route_part: bytes) -> RouteName:
    """Decode workspace and name once and check them. Raises BadNameError."""
    segments = route_part[len(INFERENCE_PREFIX) :].split(b"/")
    workspace = _name("workspace", segments[0])
    kind = RouteKind(segments[1].decode())
    name = _name(str(kind), segments[2]) if len(segments) > 2 else ""
    return RouteName(kind, workspace, name, route_part + _SEPARATOR)


def _name(what: str, raw: bytes) -> str:
    decoded = unquote_to_bytes(raw)
    text = decoded.decode("ascii", "replace")
    if not is_name(text):
        raise BadNameError(f"the {what} in the path is not a valid name; a name has {NAME_RULE}")
    return text


def decode_tail(tail: bytes, query: bytes) -> tuple[bytes, bytes]:
    """Return the (path, query) that go to the provider. Raises BadRequestError on dot segments.

    The published SDK sends the whole tail as one percent-encoded parameter: such a tail is decoded once. Any
    other goes out byte for byte.
    """
    if b"%" in tail and b"/" not in tail and _HAS_ENCODED_DELIMITER.search(tail):
        decoded = _decode_once(tail)
        tail, mark, encoded_query = decoded.partition(b"?")
        if mark:
            query = mark + encoded_query + (b"&" + query[1:] if len(query) > 1 else b"")
    if tail.startswith(b"/"):
        tail = tail.lstrip(b"/")
    if (b"." in tail or b"%" in tail) and _DOT_SEGMENT.search(tail):
        raise BadRequestError("the path holds a dot segment (. or ..); send the path it stands for")
    return tail, query


def _decode_once(tail: bytes) -> bytes:
    def replace(match: re.Match[bytes]) -> bytes:
        byte = int(match[1], 16)
        if byte == 0x25:
            # A per cent sign is legal only as the start of an escape.
            following = tail[match.end() : match.end() + 2]
            return b"%" if len(following) == 2 and all(digit in _HEX for digit in following) else match[0]
        return bytes((byte,)) if byte in _LEGAL else match[0]

    return _ESCAPE.sub(replace, tail)


def listing_request(method: bytes, tail: bytes, query: bytes) -> str | None:
    """Say whether an OpenAI-route request asks for the listing: the wanted id, empty for all, None if neither.

    In `v1/models/{id}` the id alone is percent-decoded (docs/dataplane.md, Paths).
    """
    if method not in (b"GET", b"HEAD"):
        return None
    if b"/" not in tail:
        tail, _ = decode_tail(tail, query)
    tail = tail.lstrip(b"/")
    if tail in (b"v1/models", b"v1/models/"):
        return ""
    if not tail.startswith(b"v1/models/"):
        return None
    return unquote_to_bytes(tail[len(b"v1/models/") :]).decode("utf-8", "replace")

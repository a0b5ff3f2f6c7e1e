"""Paths of the HTTP interface (docs/wire.md, 3), from parts that users gave."""

import re
from urllib.parse import quote, unquote, urlencode

from modelport.errors import ArgumentError

GATEWAY = "/apis/inference-gateway/v2"
MODELS = "/apis/models/v2"
SECRETS = "/apis/secrets/v2"
WORKSPACES = "/apis/entities/v2/workspaces"

_TAIL_SAFE = "/?:@!$&'()*+,;=-._~%"
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def segment(text: str, what: str) -> str:
    """Encode one path parameter. Raises ArgumentError for what would name another path altogether, or is no text."""
    if text in {"", ".", ".."}:
        raise ArgumentError(f"{what} must not be {text!r}" if text else f"{what} must not be empty")
    return _quoted(text, "-@.+_*", what)


def join(*parts: str) -> str:
    """Join encoded parts with slashes."""
    return "/".join(parts)


def trailing(uri: str) -> str:
    """Prepare what goes after `/-/`: plain slashes, an optional query, escapes of the caller kept.

    Raises ArgumentError for dot segments: URL libraries resolve them, and the request would leave the route
    (docs/dataplane.md, Paths).
    """
    path, question, query = uri.lstrip("/").partition("?")
    if any(unquote(part).partition(";")[0] in {".", ".."} for part in path.replace("\\", "/").split("/")):
        raise ArgumentError("trailing_uri must not hold dot segments")
    return _quoted(_LONE_PERCENT.sub("%25", path + question + query), _TAIL_SAFE, "trailing_uri")


def with_query(path: str, query: list[tuple[str, str]]) -> str:
    """Append query parameters to a path that may have some."""
    if not query:
        return path
    return f"{path}{'&' if '?' in path else '?'}{urlencode(query)}"


def _quoted(text: str, safe: str, what: str) -> str:
    try:
        return quote(text, safe=safe)
    except UnicodeEncodeError:
        raise ArgumentError(f"{what} is no text that UTF-8 has") from None

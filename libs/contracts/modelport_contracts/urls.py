"""A provider's host_url: http or https, a host, nothing that hides where it goes (docs/wire.md, 2 and 3.3)."""

import re
from urllib.parse import urlsplit

MAX_HOST_URL = 2048

_HAS_USERINFO = "must not hold a user name or password"
_ILLEGAL = re.compile(r"[\x00-\x20\x7f\"<>\\^`{|}]")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.\-]*[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]+\]")


def check_host_url(text: str) -> str:
    """Return `text` if a provider may live there. Raises ValueError with a message for the user."""
    problem = url_problem(text)
    if problem == _HAS_USERINFO:
        problem += "; store the key as a secret"
    if problem:
        raise ValueError(f"host_url {problem}")
    return text


def url_problem(text: str) -> str | None:
    """Say what keeps `text` from being the address of a server, as a sentence without its subject; None: nothing.

    The text itself is never in it: a password may stand there.
    """
    if _ILLEGAL.search(text) or not text.isascii():
        return "holds characters that no URL has"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        # the library's own text quotes the input, where a password may stand
        return "is not a URL; write http://host:port/path or https://host/path"
    if parts.scheme.lower() not in {"http", "https"}:
        return "must begin with http:// or https://"
    if "@" in parts.netloc:
        return _HAS_USERINFO
    if "#" in text:
        return "must not hold a fragment (#...)"
    if "?" in text:
        return "must not hold a query (?...)"
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc.removesuffix(":")
    if not _HOST.fullmatch(host):
        return "must name a host"
    if port == 0:
        return "must have a port from 1 to 65535"
    if any(segment in {".", ".."} for segment in parts.path.split("/")):
        return "must not hold dot segments"
    return None

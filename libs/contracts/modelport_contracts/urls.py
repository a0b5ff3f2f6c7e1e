"""A provider's host_url: http or https, a host, nothing that hides where it goes (docs/wire.md, 2, 3.3 and 3.6)."""

import ipaddress
import re
from urllib.parse import urlsplit

MAX_HOST_URL = 2048

_HAS_USERINFO = "must not hold a user name or password"
_ILLEGAL = re.compile(r"[\x00-\x20\x7f\"<>\\^`{|}]")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.\-]*[A-Za-z0-9.])?")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_MAX_LABEL = 63


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
    is_bracketed = host.startswith("[") and host.endswith("]")
    problem = host_problem(host[1:-1] if is_bracketed else host, is_bracketed=is_bracketed)
    if problem:
        return problem
    if port == 0:
        return "must have a port from 1 to 65535"
    if any(segment in {".", ".."} for segment in parts.path.split("/")):
        return "must not hold dot segments"
    return None


def host_problem(host: str, *, is_bracketed: bool = False) -> str | None:
    """Say what keeps `host` from being a name or an IPv4 address, or where it is bracketed an IPv6 address.

    One address has one spelling: resolvers take 2130706433, 0177.0.0.1, 0x7f.1 and 127.1 for 127.0.0.1, and whoever
    reads them should not have to know that.
    """
    if "%" in host:
        return "must not hold a % in its host: neither encoded characters nor an IPv6 zone are taken"
    if is_bracketed:
        return None if _is_address(host, ipaddress.IPv6Address) else "must name a host"
    if not _NAME.fullmatch(host):
        return "must name a host"
    labels = host.removesuffix(".").split(".")
    if not all(0 < len(label) <= _MAX_LABEL for label in labels):
        return f"names a host one part of which is empty or longer than {_MAX_LABEL} characters"
    if _NUMBER.fullmatch(labels[-1]) and not _is_address(host, ipaddress.IPv4Address):
        return "names a host that ends in a number and is no IPv4 address of four decimal numbers (127.0.0.1)"
    return None


def host_of(url: str) -> str:
    """Return the host that a URL names, an IPv6 address without its brackets; empty where there is none."""
    return urlsplit(url).hostname or ""


def _is_address(text: str, kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True

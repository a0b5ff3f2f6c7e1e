"""A provider's host_url: http or https, a host, nothing that hides where it goes (docs/wire.md, 2 and 3.3)."""

import re
from urllib.parse import urlsplit

MAX_HOST_URL = 2048

_ILLEGAL = re.compile(r"[\x00-\x20\x7f\"<>\\^`{|}]")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.\-]*[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]+\]")


def check_host_url(text: str) -> str:
    """Return `text` if a provider may live there. Raises ValueError with a message for the user."""
    if _ILLEGAL.search(text) or not text.isascii():
        raise ValueError("host_url holds characters that no URL has")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        # the library's own text quotes the input, where a password may stand
        raise ValueError("host_url is not a URL; write http://host:port/path or https://host/path") from None
    if parts.scheme.lower() not in {"http", "https"}:
        raise ValueError("host_url must begin with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("host_url must not hold a user name or password; store the key as a secret")
    if "#" in text:
        raise ValueError("host_url must not hold a fragment (#...)")
    if "?" in text:
        raise ValueError("host_url must not hold a query (?...)")
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc.removesuffix(":")
    if not _HOST.fullmatch(host):
        raise ValueError("host_url must name a host")
    if port == 0:
        raise ValueError("host_url's port must be 1 to 65535")
    if any(segment in {".", ".."} for segment in parts.path.split("/")):
        raise ValueError("host_url must not hold dot segments")
    return text

"""Which header names a provider's configuration may not set (docs/wire.md, 3.3)."""

import re
from collections.abc import Mapping

HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A header's name is a token (RFC 9110, 5.6.2)."""

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        "expect",
    }
)
"""Meant for one connection, never forwarded (RFC 9110, 7.6.1)."""

CREDENTIALS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "ocp-apim-subscription-key",
    }
)
"""Carry keys: never configured in clear, never passed on from a client."""
NOT_CONFIGURABLE = HOP_BY_HOP | CREDENTIALS | {"host", "content-length"}

_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def check_extra_headers(member: str, headers: Mapping[str, str]) -> list[str]:
    """Say what is wrong with the extra headers called `member`, one line each."""
    problems = []
    seen: set[str] = set()
    for name, value in headers.items():
        lower = name.lower()
        if not HEADER_NAME.fullmatch(name):
            # a whole header line may have been put here, its credential included
            problems.append(f"{member}: {name.partition(':')[0][:40]!r} is not a header name")
        elif lower in CREDENTIALS:
            problems.append(
                f"{member}: {name} would carry a credential; store it as a secret and use auth_header_format"
            )
        elif lower in NOT_CONFIGURABLE or lower.startswith("x-modelport-"):
            problems.append(f"{member}: {name} is set by the gateway itself")
        elif lower in seen:
            problems.append(f"{member}: {name} is given twice")
        elif _BAD_VALUE.search(value) or value != value.strip() or not _is_latin1(value):
            problems.append(f"{member}: the value of {name} holds characters no header can carry")
        seen.add(lower)
    return problems


def _is_latin1(text: str) -> bool:
    return all(ord(character) < 256 for character in text)

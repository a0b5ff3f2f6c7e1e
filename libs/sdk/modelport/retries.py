"""When a request is sent again, and after how long. Pure: clock and randomness are passed in.

A status that says the request was not carried out (408, 409, 429, 503) is retried for every method. Any other
status from 500 on, and a connection that broke after the request had left, is retried only for methods that may
be repeated (RFC 9110, 9.2.2): a POST may have been carried out. `x-should-retry` decides over both
(docs/wire.md, 1). A timeout while waiting for the reply is never retried: the caller's time is up.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from modelport_contracts.errors import SHOULD_RETRY_HEADER

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 8.0
LONGEST_RETRY_AFTER_S = 60.0

_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_NOT_CARRIED_OUT = frozenset({408, 409, 429, 503})
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def retries_status(method: str, status: int, headers: Mapping[str, str]) -> bool:
    """Say whether a reply of this status calls for another attempt."""
    advice = headers.get(SHOULD_RETRY_HEADER, "").lower()
    if advice in {"true", "false"}:
        return advice == "true" and status >= 400
    return status in _NOT_CARRIED_OUT or (status >= 500 and method in _REPEATABLE)


def retries_failure(method: str, error: httpx.TransportError) -> bool:
    """Say whether a failed connection calls for another attempt."""
    if isinstance(error, _NEVER_SENT):
        return True
    if isinstance(error, httpx.TimeoutException | httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return False
    return method in _REPEATABLE


def pause_before(attempt: int, headers: Mapping[str, str], *, now: datetime, jitter: float) -> float | None:
    """Return the seconds to wait before `attempt` (1 = the first retry); None: the server asks for too long.

    Without Retry-After the pause doubles from FIRST_PAUSE_S; `jitter` in 0..1 takes off up to a quarter.
    """
    asked = retry_after(headers, now)
    if asked is None:
        pause: float = FIRST_PAUSE_S * 2 ** (attempt - 1)
        return min(pause, LONGEST_PAUSE_S) * (1 - jitter / 4)
    return asked if asked <= LONGEST_RETRY_AFTER_S else None


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read Retry-After in seconds from now (RFC 9110, 10.2.3); None if absent or senseless."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())

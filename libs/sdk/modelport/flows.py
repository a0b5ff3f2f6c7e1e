"""Sequences of requests as generators: retries, exist_ok and whatever else takes more than one step.

A flow yields steps and is sent what they led to; `run_sync` and `run_async` in `runners` carry the steps out.
So the rules stand here once, without a socket or a clock.
"""

import logging
import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx

from modelport import retries
from modelport.calls import Call
from modelport.errors import (
    ConflictError,
    ConnectionFailedError,
    ModelportError,
    NotFoundError,
    RequestTimedOutError,
    status_error,
)

T = TypeVar("T")
_log = logging.getLogger("modelport")


@dataclass(frozen=True)
class Send:
    """Send this once. Leads to the reply, read whole unless `stream` and its status is 2xx; or httpx' error."""

    call: Call[Any]
    stream: bool = False


@dataclass(frozen=True)
class Pause:
    """Do nothing for so many seconds."""

    seconds: float


Flow = Generator[Send | Pause, Any, T]


@dataclass(frozen=True)
class Policy:
    """How a client sends: where to and how patiently; and the clocks its flows go by."""

    base_url: str
    max_retries: int = 2
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random


def exchange(call: Call[Any], policy: Policy, *, stream: bool = False) -> Flow[httpx.Response]:
    """Send a call, again where the rules of `retries` say so. Ends in a 2xx reply or a ModelportError."""
    allowed = policy.max_retries if call.max_retries is None else call.max_retries
    for attempt in range(1, allowed + 2):
        headers: Any = {}
        error: ModelportError
        try:
            response: httpx.Response = yield Send(call, stream)
        except httpx.TransportError as failure:
            error = connection_error(failure, policy.base_url)
            # Of a request that cannot be sent the library quotes what is wrong, which may be the token.
            error.__cause__ = None if isinstance(failure, httpx.LocalProtocolError) else failure
            again = retries.retries_failure(call.method, failure)
            _log.debug("%s %s: %s", call.method, _path(call), error.message)
        except httpx.InvalidURL as failure:
            raise ModelportError(f"no usable URL: {failure}") from failure
        except httpx.DecodingError as failure:
            raise ConnectionFailedError(f"the reply cannot be decoded: {failure}") from failure
        else:
            _log.debug("%s %s: %d", call.method, _path(call), response.status_code)
            if response.is_success:
                return response
            error, headers = status_error(response), response.headers
            again = retries.retries_status(call.method, response.status_code, headers)
        pause = retries.pause_before(attempt, headers, now=policy.now(), jitter=policy.jitter())
        if not again or attempt > allowed or pause is None:
            raise error
        yield Pause(pause)
    raise AssertionError("the last attempt returns or raises")


def perform(call: Call[T], policy: Policy) -> Flow[T]:
    """Send a call and read its reply; with `existing`, a conflict leads to what is there already."""
    try:
        response = yield from exchange(call, policy)
    except ConflictError as conflict:
        if call.existing is None:
            raise
        try:
            return (yield from perform(call.existing, policy))
        except NotFoundError:
            raise conflict from None  # in conflict with something else, or gone meanwhile
    return call.parse(response)


def connection_error(failure: httpx.TransportError, base_url: str) -> ConnectionFailedError:
    """Say what kept a reply from arriving, and what to do about it."""
    if isinstance(failure, httpx.LocalProtocolError):
        return ConnectionFailedError(
            "the request cannot be sent: one of its headers holds characters that no header may have"
        )
    reason = str(failure) or type(failure).__name__
    if isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout):
        return ConnectionFailedError(
            f"cannot reach the platform at {base_url}: {reason}",
            hint="`nemo services run` starts one on this machine; base_url or NMP_BASE_URL names another",
        )
    if isinstance(failure, httpx.TimeoutException):
        return RequestTimedOutError(f"no reply from {base_url} in time", hint="A larger timeout gives it longer")
    return ConnectionFailedError(f"the connection to {base_url} broke: {reason}")


def _path(call: Call[Any]) -> str:
    return call.path.partition("?")[0]

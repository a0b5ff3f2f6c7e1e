"""Waiting for a condition with a deadline: the only way tests wait."""

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, overload

T = TypeVar("T")

_INTERVAL_S = 0.01


class _Deadline:
    """Says what was last seen when time is up."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._end = time.monotonic() + timeout

    def check(self, last: object) -> None:
        if time.monotonic() >= self._end:
            cause = last if isinstance(last, BaseException) else None
            raise AssertionError(f"not so after {self._timeout} s; last seen: {last!r}") from cause


@overload
async def eventually(
    check: Callable[[], Coroutine[Any, Any, T]],
    timeout: float = ...,
    *,
    ignoring: tuple[type[Exception], ...] = ...,
    interval: float = ...,
) -> T: ...
@overload
async def eventually(
    check: Callable[[], T],
    timeout: float = ...,
    *,
    ignoring: tuple[type[Exception], ...] = ...,
    interval: float = ...,
) -> T: ...
async def eventually(
    check: Callable[[], Any],
    timeout: float = 5.0,
    *,
    ignoring: tuple[type[Exception], ...] = (),
    interval: float = _INTERVAL_S,
) -> Any:
    """Call `check` (plain or async) until it returns something true, and return that.

    An AssertionError, or one of `ignoring`, means not yet. After `timeout` seconds: AssertionError with the last
    outcome.
    """
    deadline = _Deadline(timeout)
    not_yet: tuple[type[Exception], ...] = (AssertionError, *ignoring)
    last: object
    while True:
        try:
            outcome = check()
            value = await outcome if inspect.isawaitable(outcome) else outcome
            if value:
                return value
            last = value
        except not_yet as error:
            last = error
        deadline.check(last)
        await asyncio.sleep(interval)


def eventually_sync(
    check: Callable[[], T],
    timeout: float = 5.0,
    *,
    ignoring: tuple[type[Exception], ...] = (),
    interval: float = _INTERVAL_S,
) -> T:
    """Do what `eventually` does, for tests and fixtures without an event loop."""
    deadline = _Deadline(timeout)
    not_yet: tuple[type[Exception], ...] = (AssertionError, *ignoring)
    last: object
    while True:
        try:
            value = check()
            if value:
                return value
            last = value
        except not_yet as error:
            last = error
        deadline.check(last)
        time.sleep(interval)

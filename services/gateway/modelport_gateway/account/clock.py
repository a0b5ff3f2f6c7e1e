"""One coarse clock for all exchanges: timeouts and dates need no more, and a timer per request would cost."""

import asyncio
import logging
import time
from collections.abc import Callable
from email.utils import formatdate

_log = logging.getLogger(__name__)


class Clock:
    """The time as of the last tick. `monotonic` and `wall` are in seconds."""

    __slots__ = ("_second", "_wall", "date_line", "monotonic", "now", "stamp")

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self.monotonic = monotonic
        """Tells the exact monotonic time, for measuring durations."""
        self._wall = wall
        self.now = 0.0
        """Monotonic."""
        self.stamp = b""
        """ISO 8601 in UTC with milliseconds, for log records."""
        self.date_line = b""
        """A whole Date header line (RFC 9110, 6.6.1)."""
        self._second = -1
        self.tick()

    def tick(self) -> None:
        """Look at the clocks again."""
        self.now = self.monotonic()
        wall = self._wall()
        second = int(wall)
        if second != self._second:
            self._second = second
            self.date_line = b"Date: " + formatdate(second, usegmt=True).encode()
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        self.stamp = b"%b.%03dZ" % (text.encode(), int((wall - second) * 1000))


class Ticker:
    """Calls `on_tick` every `interval_s` seconds on the running event loop."""

    def __init__(self, interval_s: float, on_tick: Callable[[], None]) -> None:
        self._interval_s = interval_s
        self._on_tick = on_tick
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin; needs a running event loop."""
        self._handle = asyncio.get_running_loop().call_later(self._interval_s, self._run)

    def stop(self) -> None:
        """End."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _run(self) -> None:
        self.start()
        try:
            self._on_tick()
        except Exception:
            # One bad exchange must not stop the clock for all others.
            _log.exception("tick failed")

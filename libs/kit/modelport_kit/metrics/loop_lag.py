"""How late the event loop is: a timer that looks how long after its time it was called."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from modelport_kit.metrics.histogram import SHORT_S, Histogram

EVERY_S: Final = 0.25


class LoopLag:
    """Looks at the running event loop's lag four times a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is not the loop's own: uvloop's stands still while a callback runs."""
        self.histogram = Histogram(SHORT_S)
        self._clock = clock
        self._due = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin; needs a running event loop."""
        self._due = self._clock() + EVERY_S
        self._handle = asyncio.get_running_loop().call_later(EVERY_S, self._look)

    def stop(self) -> None:
        """End."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _look(self) -> None:
        self.histogram.observe(max(self._clock() - self._due, 0.0))
        self.start()

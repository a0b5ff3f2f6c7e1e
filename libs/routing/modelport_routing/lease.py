"""The lease: for how long this process may use what it knows without asking (docs/propagation.md, rule 21).

Others count a gateway as gone when its record has not changed for 3 s. A process that was halted does not notice
that by itself; its lease has run out by then, and it asks before it serves on.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

LEASE_S = 1.5
"""Counted from when the fence was sent whose record was written."""
PATIENCE_S = 0.1
"""For so long requests wait for a fence; then the process knows that it is cut off."""


class Lease:
    """Granted by fences. `until` is compared with the monotonic clock on every request."""

    __slots__ = ("_ask", "_clock", "_granted", "_renewing", "is_away", "on_grant", "served_away", "until")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ask: Callable[[], None] | None = None
        self._granted = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None
        self.until = -math.inf
        """Monotonic seconds."""
        self.is_away = False
        """Cut off from Redis, and aware of it: what is known is served at once."""
        self.served_away = 0
        """Requests served so."""
        self.on_grant: Callable[[], None] | None = None
        """Called whenever it is granted."""

    @classmethod
    def unlimited(cls) -> "Lease":
        """Make a lease that never ends, for a table that does not change behind one's back."""
        lease = cls()
        lease.until = math.inf
        return lease

    def asks(self, ask: Callable[[], None]) -> None:
        """Call `ask` when a fence is wanted at once."""
        self._ask = ask

    def grant(self, sent_at: float) -> None:
        """Take the success of a fence that was sent at `sent_at`."""
        self.until = max(self.until, sent_at + LEASE_S)
        if self.on_grant is not None:
            self.on_grant()
        if self.holds():
            if self.is_away:
                logger.warning("Redis answers again; changes are followed as they come")
            self.is_away = False
            self._granted.set()

    def end(self) -> None:
        """Take it back: the connection is lost, and nobody tells of changes any more."""
        self.until = -math.inf

    def holds(self) -> bool:
        """Say whether what is known here may be used without asking."""
        return self._clock() <= self.until

    def goes_without(self) -> bool:
        """Say whether a request whose lease has run out is served nevertheless, and count it."""
        if self.is_away:
            self.served_away += 1
        return self.is_away

    async def renew(self) -> bool:
        """Return whether the lease holds, after a fence where it did not; False: the process is away.

        All who wait share one wait of at most PATIENCE_S.
        """
        if not self.holds() and not self.is_away:
            if self._renewing is None or self._renewing.done():
                self._renewing = asyncio.create_task(self._renew(), name="lease renewal")
            await asyncio.shield(self._renewing)
        return self.holds()

    async def _renew(self) -> None:
        end = self._clock() + PATIENCE_S
        while not self.holds():
            left_s = end - self._clock()
            if left_s <= 0:
                self.is_away = True
                logger.warning("cut off from Redis: what is known here is served as it is until Redis answers again")
                return
            self._granted.clear()
            if self._ask is not None:
                self._ask()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._granted.wait()

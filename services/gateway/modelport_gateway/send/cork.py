"""Small writes of one turn of the event loop leave together at its end (docs/dataplane.md, Speed).

Every write to a sleeping process wakes it. Where each is followed by the next request's work, whoever was woken is
done and asleep again before the next write comes: the kernel spends more on waking than on sending. Written one right
after the other, most of them find the other side awake.
"""

import asyncio
from collections import deque
from collections.abc import Sized
from typing import Final, Protocol

FEW: Final = 4
"""With up to so many requests under way a write goes out at once: there is nothing to gather, and its wait would be
felt."""
SMALL: Final = 16 * 1024
"""What is larger, in bytes, is written at once: it wakes nobody more often, and it must meet flow control."""
_MAX_WAITING: Final = 256


class Writing(Protocol):
    """A connection that writes."""

    transport: asyncio.Transport
    is_written: bool
    """Set when something was handed to the transport."""


class Cork:
    """What waits to be written. Each connection's writes keep their order.

    `active` are the requests under way. Whoever closes a transport, or asks how much it has not sent yet, calls
    `flush` first.
    """

    __slots__ = ("_active", "_loop", "_waiting")

    def __init__(self, active: Sized) -> None:
        self._active = active
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[tuple[Writing, bytes]] = deque()

    def write(self, connection: Writing, data: bytes) -> None:
        """Write to a connection's transport, now or at the end of this turn."""
        waiting = self._waiting
        if not waiting:
            if len(self._active) <= FEW or len(data) > SMALL:
                connection.is_written = True
                connection.transport.write(data)
                return
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self.flush)
        elif len(data) > SMALL or len(waiting) >= _MAX_WAITING:
            self.flush()
            connection.is_written = True
            connection.transport.write(data)
            return
        waiting.append((connection, data))

    def flush(self) -> None:
        """Write what waits; not to a transport that has closed meanwhile."""
        waiting = self._waiting
        while waiting:
            connection, data = waiting.popleft()
            if not connection.transport.is_closing():
                connection.is_written = True
                connection.transport.write(data)

"""How many requests a provider may have at a time from this process, and the queue before it.

`options.max_concurrency` and `options.max_queue_s` (docs/wire.md, 3.2). First come, first served: whoever arrives
while others wait goes behind them.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from modelport_gateway.errors import ProviderBusyError

DEFAULT_QUEUE_S: Final = 5.0
"""Long enough to smooth a burst. A caller that would wait longer is better told, so that it can go elsewhere, and a
probe of discovery (10 s) hears that the provider is busy instead of running out of time."""


class Waiter:
    """One place in a queue."""

    __slots__ = ("_wake", "is_granted")

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.is_granted = False

    def grant(self) -> None:
        self.is_granted = True
        self._wake()


class Gate:
    """Lets in up to `limit` at a time; the others wait in order."""

    __slots__ = ("_queue", "inside", "limit")

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.inside = 0
        self._queue: OrderedDict[Waiter, None] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Gate {self.inside} of {self.limit} inside, {self.waiting} waiting>"

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def try_enter(self) -> bool:
        """Enter if there is room; as long as somebody waits there is none."""
        if self.inside >= self.limit:
            return False
        self.inside += 1
        return True

    def queue_up(self, wake: Callable[[], None]) -> Waiter:
        """Go to the end of the queue. `wake` is called once the waiter is inside; it must not call back."""
        waiter = Waiter(wake)
        self._queue[waiter] = None
        self._let_in()
        return waiter

    def give_up(self, waiter: Waiter) -> None:
        """Leave the queue; a place that was granted in the meantime goes to the next."""
        if waiter.is_granted:
            self.leave()
        else:
            del self._queue[waiter]

    def leave(self) -> None:
        """Free a place. Once for each time of entering."""
        self.inside -= 1
        self._let_in()

    def resize(self, limit: float) -> None:
        """Change the limit. Those inside stay; a higher one lets waiters in at once."""
        self.limit = limit
        self._let_in()

    def _let_in(self) -> None:
        while self._queue and self.inside < self.limit:
            waiter, _ = self._queue.popitem(last=False)
            self.inside += 1
            waiter.grant()


async def enter(gate: Gate, label: str, max_queue_s: float) -> None:
    """Enter, waiting for at most `max_queue_s` seconds. Raises ProviderBusyError; `label` names the provider."""
    if gate.try_enter():
        return
    inside: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not inside.done():
            inside.set_result(None)

    waiter = gate.queue_up(wake)
    try:
        async with asyncio.timeout(max_queue_s):
            await inside
    except TimeoutError:
        limit = gate.limit
        gate.give_up(waiter)
        raise ProviderBusyError(
            f"provider {label} has {limit:g} requests under way from this gateway process, its limit "
            f"(options.max_concurrency), and none of them ended within {max_queue_s:g} s (options.max_queue_s); "
            "try again"
        ) from None
    except BaseException:
        gate.give_up(waiter)
        raise

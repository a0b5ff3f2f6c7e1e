"""Names to addresses, remembered for a moment, so that a few names with a dead DNS delay no other provider.

Each look-up has a thread of its own: the event loop's few would all be held by names that nobody answers for.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

Address = tuple[int, tuple[str, int] | tuple[str, int, int, int]]
"""(family, socket address)."""
LookUp = Callable[[str, int], list[Address]]

_MAX_NAMES: Final = 1024
_MAX_LOOKUPS: Final = 64


def look_up(host: str, port: int) -> list[Address]:
    """Ask the system; blocks. Raises OSError or UnicodeError where the name has no address."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]


class Resolver:
    """Resolves (host, port). Those who ask for one name at a time share one look-up.

    `found_s` and `failed_s`: for how many seconds an answer, or that there is none, is believed.
    """

    def __init__(
        self,
        ask: LookUp = look_up,
        *,
        found_s: float = 5.0,
        failed_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._found_s = found_s
        self._failed_s = failed_s
        self._clock = clock
        self._known: dict[tuple[str, int], tuple[float, Sequence[Address] | Exception]] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[Sequence[Address]]] = {}
        self._free = asyncio.Semaphore(_MAX_LOOKUPS)

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """Return the addresses, in order of preference. Raises OSError or UnicodeError."""
        name = (host, port)
        known = self._known.get(name)
        if known is not None and self._clock() < known[0]:
            if isinstance(known[1], Exception):
                raise known[1].with_traceback(None)
            return known[1]
        task = self._asking.get(name)
        if task is None:
            task = self._asking[name] = asyncio.ensure_future(self._resolve(name))
            task.add_done_callback(lambda done: self._finished(name, done))
        # Shielded: whoever gives up must not fail the others that wait for the same name.
        return await asyncio.shield(task)

    async def _resolve(self, name: tuple[str, int]) -> Sequence[Address]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Address]] = loop.create_future()

        def run() -> None:
            result: Any
            try:
                result = self._ask(*name)
            except Exception as error:
                result = error
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(_settle, answer, result)

        async with self._free:
            threading.Thread(target=run, name="look-up", daemon=True).start()
            return await answer

    def _finished(self, name: tuple[str, int], task: "asyncio.Task[Sequence[Address]]") -> None:
        del self._asking[name]
        if task.cancelled():
            return
        error = task.exception()
        self._known.pop(name, None)
        if error is None:
            self._known[name] = (self._clock() + self._found_s, task.result())
        elif isinstance(error, (OSError, UnicodeError)):
            self._known[name] = (self._clock() + self._failed_s, error)
        if len(self._known) > _MAX_NAMES:
            del self._known[next(iter(self._known))]


def _settle(answer: "asyncio.Future[list[Address]]", result: Any) -> None:
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)


def in_turns(addresses: Sequence[Address], limit: int) -> list[Address]:
    """Put the families in turns, the preferred one first, as in RFC 8305, 4; return the first `limit`."""
    families = list(dict.fromkeys(family for family, _ in addresses))
    queues = [[address for address in addresses if address[0] == family] for family in families]
    turns: list[Address] = []
    for turn in range(max(map(len, queues), default=0)):
        turns.extend(queue[turn] for queue in queues if turn < len(queue))
    return turns[:limit]

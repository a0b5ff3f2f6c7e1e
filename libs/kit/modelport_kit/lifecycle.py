"""Running a service: its background loops, its sockets, its end."""

import asyncio
import contextlib
import os
import random
import select
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import structlog
import uvicorn

from modelport_kit.redaction import redact_text
from modelport_kit.settings import ServiceSettings, SettingsError

logger = structlog.get_logger(__name__)

Loop = Callable[[], Coroutine[Any, Any, None]]

SAME_SIGNAL_S = 1.0
"""Signals so close together are one wish: `timeout`, make and terminals signal a process and its group."""
_LOOK_S = 0.1
_QUICK_EXIT_S = 2.0
"""What putting things away may take once somebody is in a hurry."""
_MAX_ACCEPTS = 64


def restart_delay_s(failures: int, jitter: float) -> float:
    """Return how long a loop waits before it starts again: 50 ms doubling to 5 s, jittered by half."""
    return float(min(5.0, 0.05 * 2 ** min(failures, 10)) * (0.5 + jitter / 2))


class BackgroundLoops:
    """Loops that must always run: one that fails is logged and started again.

    That a loop runs does not say that it gets anywhere: each tells when it has done what it is for.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._loops: dict[str, Loop] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._succeeded_at: dict[str, float] = {}
        self.failures: dict[str, int] = {}
        """How often each loop has failed since the start."""

    def add(self, name: str, loop: Loop) -> None:
        """Register a loop; it begins with start()."""
        self._loops[name] = loop
        self.failures[name] = 0

    def succeeds(self, name: str) -> Callable[[], None]:
        """Return what a loop, or a part of one, calls each time it has succeeded; from now on its age is told."""
        self._succeeded_at[name] = self._clock()

        def succeeded() -> None:
            self._succeeded_at[name] = self._clock()

        return succeeded

    def ages_s(self) -> dict[str, float]:
        """Return how long ago each last succeeded, or was registered; may be asked from another thread."""
        now = self._clock()
        return {name: max(0.0, now - then) for name, then in list(self._succeeded_at.items())}

    def start(self) -> None:
        """Start every registered loop."""
        self._tasks = [
            asyncio.create_task(self._supervise(name, loop), name=name) for name, loop in self._loops.items()
        ]

    async def stop(self) -> None:
        """Cancel the loops and wait for their end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _supervise(self, name: str, loop: Loop) -> None:
        clock = asyncio.get_running_loop().time
        in_a_row = 0
        while True:
            started = clock()
            try:
                await loop()
            except Exception:
                self.failures[name] += 1
                logger.exception("background loop failed, starting it again", loop=name)
            else:
                logger.warning("background loop ended, starting it again", loop=name)
            in_a_row = 0 if clock() - started > 60 else in_a_row + 1
            await asyncio.sleep(restart_delay_s(in_a_row, random.random()))  # noqa: S311 (jitter)


@dataclass(frozen=True)
class HeldSockets:
    """Listening sockets that other processes accept from as well: this one begins to only when it can serve.

    Who accepts a connection owes it an answer; left in the backlog, another process, or this one a moment later, takes
    it.
    """

    sockets: list[socket.socket]
    until: Callable[[], Awaitable[None]]
    """Returns when connections may be accepted."""


async def serve(
    config: uvicorn.Config,
    sockets: list[socket.socket],
    *,
    held: HeldSockets | None = None,
    before_exit: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT: on `sockets` at once, on those held when their time has come.

    `before_exit` runs between the signal and the closing of the listening sockets: uvicorn runs its lifespan
    shutdown only after connections have closed, too late to tell anyone that this process is leaving. A second
    signal, at least SAME_SIGNAL_S later, ends all waiting: for `before_exit`, and for requests in flight.
    """
    server = _Server(config, held or HeldSockets([], _at_once), before_exit)
    await server.serve(sockets=sockets)


async def _at_once() -> None:
    pass


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, held: HeldSockets, before_exit: Callable[[], Awaitable[None]] | None
    ) -> None:
        super().__init__(config)
        self._held = held
        self._opening: asyncio.Task[None] | None = None
        self._opened: list[socket.socket] = []
        self._before_exit = before_exit
        self._asked_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._opening = asyncio.create_task(self._open_held())

    async def _open_held(self) -> None:
        await self._held.until()
        loop = asyncio.get_running_loop()
        for listener in self._held.sockets:
            self.servers.append(await loop.create_server(self._protocol, sock=listener, backlog=self.config.backlog))
            self._opened.append(listener)

    def _protocol(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class  # declared as any protocol, called as uvicorn calls it
        made: asyncio.Protocol = make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        return made

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
            super().handle_exit(sig, frame)
        elif now - self._asked_at >= SAME_SIGNAL_S:
            self.force_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._before_exit is not None:
            await self._leave(self._before_exit())
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        listening = [*(sockets or []), *self._opened]
        await accept_all(listening)
        await super().shutdown(listening)
        if self.force_exit:
            # uvicorn skips it then; but whoever holds a stream should be told, and a bus be left in good order.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_QUICK_EXIT_S):
                    await self.lifespan.shutdown()

    async def _leave(self, before_exit: Awaitable[None]) -> None:
        leaving = asyncio.ensure_future(before_exit)
        while not leaving.done() and not self.force_exit:
            await asyncio.wait({leaving}, timeout=_LOOK_S)
        leaving.cancel()
        [outcome] = await asyncio.gather(leaving, return_exceptions=True)
        if isinstance(outcome, Exception):
            logger.error("leaving failed, exiting nevertheless", exc_info=outcome)


async def accept_all(listening: Sequence[socket.socket]) -> None:
    """Let the loop accept what the kernel has accepted: with its listening socket it would be reset."""
    poll = select.poll()
    for listener in listening:
        poll.register(listener.fileno(), select.POLLIN)
    for _ in range(_MAX_ACCEPTS):
        if not poll.poll(0):
            return
        await asyncio.sleep(0)


def run_service(start: Callable[[], Coroutine[Any, Any, None]], *, name: str, event_loop: str = "uvloop") -> None:
    """Run a service's coroutine to its end.

    Settings or data that it cannot start with are one line on stderr and exit code 78, sysexits' EX_CONFIG: whoever
    supervises the service then knows that starting it again does not help.
    """
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if event_loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(start())
    except SettingsError as error:
        sys.stderr.write(redact_text(f"{name}: {error}\n"))
        sys.exit(os.EX_CONFIG)
    except KeyboardInterrupt:
        sys.exit(130)


def uvicorn_config(app: Any, settings: ServiceSettings, **options: Any) -> uvicorn.Config:
    """Configure uvicorn as all services run it: own access log, keep-alive beyond what client pools use."""
    return uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        ws="none",
        server_header=False,
        date_header=True,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(settings.shutdown_grace_s) or 1,
        lifespan="on",
        proxy_headers=False,
        **options,
    )

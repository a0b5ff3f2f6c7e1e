"""Notices that a client has left while nothing is read from it.

An event loop that does not read a socket does not look at it either: a client that goes away in the midst of an
upload which the provider does not take would be noticed minutes later. On Linux an epoll of our own asks the kernel
for nothing but the end of paused connections. Elsewhere such a client is noticed when reading goes on, or by the idle
timeout.
"""

import asyncio
import contextlib
import select
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl


class HangupWatch:
    """The paused connections of one event loop."""

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None
        self._paused: dict[int, Callable[[], None]] = {}

    def start(self) -> None:
        """Begin to look; needs the running event loop."""
        if hasattr(select, "epoll"):
            self._epoll = select.epoll()
            asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._look)

    def close(self) -> None:
        """End."""
        if self._epoll is not None:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None
        self._paused.clear()

    def watch(self, fd: int, on_hangup: Callable[[], None]) -> None:
        """Call `on_hangup`, once, when the other side of a paused connection closes or resets it."""
        if self._epoll is not None:
            self._paused[fd] = on_hangup
            self._epoll.register(fd, select.EPOLLRDHUP | select.EPOLLONESHOT)

    def forget(self, fd: int) -> None:
        """The connection is read again, or closed."""
        if self._paused.pop(fd, None) is not None and self._epoll is not None:
            with contextlib.suppress(OSError):
                self._epoll.unregister(fd)

    def _look(self) -> None:
        assert self._epoll is not None
        for fd, _ in self._epoll.poll(0):
            on_hangup = self._paused.get(fd)
            self.forget(fd)
            if on_hangup is not None:
                on_hangup()


class WatchedFlow(FlowControl):
    """uvicorn's flow control of one connection, which is watched while it is not read."""

    def __init__(self, transport: asyncio.Transport, hangups: HangupWatch) -> None:
        super().__init__(transport)
        self._hangups = hangups
        self._fd: int = transport.get_extra_info("socket").fileno()

    def pause_reading(self) -> None:
        """Stop reading."""
        if not self.read_paused:
            super().pause_reading()
            # Not close(): that would wait until the client has taken what is left of its reply.
            self._hangups.watch(self._fd, self._transport.abort)

    def resume_reading(self) -> None:
        """Read on."""
        if self.read_paused:
            self._hangups.forget(self._fd)
            super().resume_reading()

    def close(self) -> None:
        """The connection is closing: its number may soon be another's."""
        self._hangups.forget(self._fd)

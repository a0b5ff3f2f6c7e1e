"""Keeps one part running: starts it, sees that it becomes ready, starts it again when it ends."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelport_cli.stack.errors import StackError
from modelport_cli.stack.parts import Part
from modelport_cli.stack.plan import describe_exit
from modelport_cli.stack.process import Child, Group
from modelport_cli.stack.restart import History

_POLL_S = 0.02
_LOG_TAIL_BYTES = 4096
_LOG_LINE_LIMIT = 300


class Keeper:
    """One part's process, from its first start until the stack stops."""

    def __init__(self, part: Part, group: Group, logs: Path, say: Callable[[str], None]) -> None:
        self.part = part
        self._group = group
        self._log = logs / f"{part.name}.log"
        self._say = say
        self._child: Child | None = None
        self._first_ready: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The process id of the last start, 0 before the first."""
        return self._child.pid if self._child is not None else 0

    def start(self) -> None:
        """Begin; returns at once."""
        self._task = asyncio.create_task(self._run(), name=self.part.name)

    async def wait_ready(self) -> float:
        """Wait until the part has become ready for the first time; return the seconds that took.

        Raises:
            StackError: it refused to start, or ended again and again instead.

        """
        assert self._task is not None, "not started"
        either: set[asyncio.Future[Any]] = {self._task, self._first_ready}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            self._task.result()
        return await self._first_ready

    async def stop(self) -> None:
        """End the part in good order, by force when it takes too long; it is not started again."""
        self._stopping = True
        if self._task is None:
            return
        if self._child is not None:
            await self._child.end(self.part.stop_timeout_s)
        self._task.cancel()
        # What it failed with, if it did, has been reported by wait_ready.
        with contextlib.suppress(asyncio.CancelledError, StackError):
            await self._task
        if not self._first_ready.done():
            self._first_ready.cancel()

    def kill(self) -> None:
        """End the part at once; it is not started again."""
        self._stopping = True
        if self._child is not None:
            self._child.send(signal.SIGKILL)

    async def _run(self) -> None:
        history = History()
        while True:
            try:
                history, what = await self._run_once(history)
            except (StackError, OSError) as error:
                # The program or a folder has vanished. The others go on, and this one is tried again.
                if not history.been_ready:
                    raise StackError(f"{self.part.name} cannot be started: {error}") from None
                history, what = history.ended(0.0), f"cannot be started ({error})"
            if self._stopping:
                return
            if history.hopeless:
                raise StackError(history.refusal or self._failure(what))
            when = "at once" if history.delay_s == 0 else f"in {history.delay_s:g} s"
            self._say(f"{self.part.name} {what}; starting it again {when} (log: {self._log})")
            await asyncio.sleep(history.delay_s)

    async def _run_once(self, history: History) -> tuple[History, str]:
        """Start the process and wait for its end; return what that means and how it ended."""
        clock = asyncio.get_running_loop().time
        started = clock()
        child = self._child = await self._group.spawn(self.part.launch(), self._log)
        ended = asyncio.create_task(child.wait())
        ready_at = None
        try:
            ready_at = await self._until_ready(child.pid, ended)
            if ready_at is not None:
                if history.been_ready:
                    self._say(f"{self.part.name} is ready again (pid {child.pid})")
                else:
                    self._first_ready.set_result(ready_at - started)
                history = history.ready()
            status = await ended
        finally:
            ended.cancel()
        ready_for_s = 0.0 if ready_at is None else clock() - ready_at
        refusal = self.part.refusal(status, _last_line(self._log))
        return history.ended(ready_for_s, refusal), describe_exit(status)

    async def _until_ready(self, pid: int, ended: "asyncio.Task[int]") -> float | None:
        while not ended.done():
            # Not simply awaited: what is asked may have ended, while its listening socket, ours too, lives on.
            probe = asyncio.ensure_future(self.part.ready(pid))
            try:
                await asyncio.wait({probe, ended}, return_when=asyncio.FIRST_COMPLETED)
                with contextlib.suppress(OSError):
                    if probe.done() and probe.result():
                        return asyncio.get_running_loop().time()
            finally:
                probe.cancel()
                await asyncio.gather(probe, return_exceptions=True)
            await asyncio.wait({ended}, timeout=_POLL_S)
        return None

    def _failure(self, what: str) -> str:
        line = _last_line(self._log)
        said = f': "{line[:_LOG_LINE_LIMIT]}"' if line else ""
        return f"{self.part.name} {what} before it was ready{said} (log: {self._log})"


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")

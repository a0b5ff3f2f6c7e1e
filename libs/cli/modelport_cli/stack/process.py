"""Child processes: all in one process group with the guard, their output in files."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

from modelport_cli.stack import guard
from modelport_cli.stack.errors import StackError
from modelport_cli.stack.plan import Launch

_GUARD_END_S = 2.0


class Child:
    """A running process of the stack."""

    def __init__(self, process: asyncio.subprocess.Process, on_end: Callable[[int], None]) -> None:
        self._process = process
        self._on_end = on_end

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait until it ends; return its return code, negative for a signal."""
        status = await self._process.wait()
        self._on_end(self.pid)
        return status

    def send(self, number: int) -> None:
        """Send it a signal; nothing when it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def end(self, timeout_s: float) -> None:
        """Ask it to end and wait; after `timeout_s` end it by force."""
        self.send(signal.SIGTERM)
        # One that was halted (SIGSTOP) cannot act on the request otherwise.
        self.send(signal.SIGCONT)
        try:
            async with asyncio.timeout(timeout_s):
                await self._process.wait()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self._process.wait()


class Group:
    """The stack's processes and the guard that ends them when this process is killed.

    Children are in the guard's process group, not in ours: a terminal's Ctrl-C then reaches only the supervisor, which
    ends them in order, and the guard can end all of them with one signal.
    """

    def __init__(self, lock_fd: int, say: Callable[[str], None]) -> None:
        self._lock_fd = lock_fd
        self._say = say
        self._pids: set[int] = set()
        self._group = 0
        self._guard: asyncio.subprocess.Process | None = None
        self._pipe: IO[str] | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the guard, and see to it that there always is one."""
        await self._start_guard()
        self._watch = asyncio.create_task(self._keep_guard(), name="guard")

    async def spawn(self, launch: Launch, log: Path) -> Child:
        """Start a process with its output appended to `log`.

        Raises:
            StackError: the program cannot be run, or its log not be written.

        """
        try:
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise StackError(f"its log {log} cannot be written: {error.strerror}") from None
        try:
            process = await asyncio.create_subprocess_exec(
                *launch.argv,
                env=dict(launch.environment),
                cwd=launch.folder,
                pass_fds=launch.fds,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                process_group=self._group,
            )
        except OSError as error:
            raise StackError(f"{launch.argv[0]}: {error.strerror}") from None
        finally:
            os.close(output)
        self._pids.add(process.pid)
        self._tell(f"+{process.pid}")
        return Child(process, self._forget)

    async def close(self) -> None:
        """Dismiss the guard; the children have been ended by now."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        self._tell("quit")
        self._close_pipe()
        if self._guard is not None:
            try:
                async with asyncio.timeout(_GUARD_END_S):
                    await self._guard.wait()
            except TimeoutError:
                self._guard.kill()
                await self._guard.wait()

    async def _start_guard(self) -> None:
        reading, writing = os.pipe()
        self._pipe = os.fdopen(writing, "w", buffering=1)
        # The group of a guard that was killed lives on as long as a child is in it; its successor joins them.
        group = self._group if self._pids else 0
        try:
            self._guard = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                guard.__file__,
                stdin=reading,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                pass_fds=(self._lock_fd,),
                process_group=group,
            )
        finally:
            os.close(reading)
        self._group = group or self._guard.pid
        for pid in self._pids:
            self._tell(f"+{pid}")

    async def _keep_guard(self) -> None:
        while True:
            assert self._guard is not None
            await self._guard.wait()
            self._say("the guard process was ended; starting it again at once")
            self._close_pipe()
            await self._start_guard()

    def _forget(self, pid: int) -> None:
        if pid in self._pids:
            self._pids.remove(pid)
            self._tell(f"-{pid}")

    def _tell(self, line: str) -> None:
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                self._pipe.write(line + "\n")

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                self._pipe.close()
            self._pipe = None

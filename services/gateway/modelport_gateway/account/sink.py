"""Where access records go: a file of bounded size, or standard output, written by a thread of its own.

A disk or a pipe that stalls must not stall inference: what does not fit into the queue is lost and counted.
"""

import contextlib
import os
import queue
import sys
import threading
from pathlib import Path

MAX_FILE_BYTES = 64 * 1024 * 1024
"""Past this a file is set aside as `<name>.1`, in place of the one before."""
MAX_WAITING = 64
"""Batches that may wait for the writer; the access log makes ten a second."""


class Sink:
    """Takes batches of whole records. `path` None is standard output."""

    def __init__(self, path: Path | None, *, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        """Raises OSError where the file cannot be written."""
        self._path = path
        self._max_file_bytes = max_file_bytes
        self._fd = sys.stdout.fileno() if path is None else _open(path)
        self._waiting: queue.Queue[bytes | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    def write(self, records: bytes) -> None:
        """Take a batch. Raises BlockingIOError where the writer cannot keep up."""
        try:
            self._waiting.put_nowait(records)
        except queue.Full:
            raise BlockingIOError("the access log's file cannot keep up") from None

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what waits and end; gives up on a stalled file after `timeout_s`."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=timeout_s)
        self._thread.join(timeout_s)
        if self._path is not None and not self._thread.is_alive():
            os.close(self._fd)

    def _run(self) -> None:
        while (records := self._waiting.get()) is not None:
            with contextlib.suppress(OSError):  # a full disk: later records may fit again
                self._write(records)

    def _write(self, records: bytes) -> None:
        view = memoryview(records)
        while view:
            view = view[os.write(self._fd, view) :]
        if self._path is not None and os.fstat(self._fd).st_size >= self._max_file_bytes:
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            former, self._fd = self._fd, _open(self._path)
            os.close(former)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

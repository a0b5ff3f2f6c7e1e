"""The access log: one JSON line per request, formatted as bytes and written in batches (docs/dataplane.md, Speed).

Queries are left out: a key may stand in one. Credentials and bodies never get here.
"""

import json
import logging
import re
from collections.abc import Callable
from typing import Final, NamedTuple

_log = logging.getLogger(__name__)
_MAX_PENDING: Final = 100_000
_QUERY: Final = re.compile(rb"\?|%3f", re.IGNORECASE)
_PLAIN: Final = bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\')


class Record(NamedTuple):
    """One finished request. Request id, method and provider have no character that JSON would escape."""

    request_id: bytes
    method: bytes
    path: bytes
    """The route's path and the tail, as `safe_path` gives it."""
    status: int
    code: str
    """The error's code, or empty."""
    provider: str
    bytes_in: int
    bytes_out: int
    duration_s: float


class AccessLog:
    """Collects records; `flush` hands them to `write` in one piece. A sink that fails never fails a request."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._pending: list[bytes] = []
        self.lost = 0
        """Records dropped because the sink failed or could not keep up."""

    def add(self, stamp: bytes, record: Record) -> None:
        """Format a record; `stamp` is its time."""
        if len(self._pending) >= _MAX_PENDING:
            self.lost += 1
            return
        request_id, method, path, status, code, provider, bytes_in, bytes_out, duration_s = record
        self._pending.append(
            b'{"time":"%b","id":"%b","method":"%b","path":"%b","status":%d,"code":"%b","provider":"%b",'
            b'"in":%d,"out":%d,"ms":%.2f}\n'
            % (
                stamp,
                request_id,
                method,
                path,
                status,
                code.encode(),
                provider.encode(),
                bytes_in,
                bytes_out,
                duration_s * 1000,
            )
        )

    def flush(self) -> None:
        """Write what has been collected."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        try:
            self._write(b"".join(pending))
        except OSError:
            if not self.lost:
                _log.exception("the access log cannot be written; records are being dropped")
            self.lost += len(pending)


def safe_path(text: bytes) -> bytes:
    """Return a path for a JSON string, without a query, be its mark encoded too; the usual ones need nothing.

    What begins with no slash is an address, in which there may be a password: a dash stands for it.
    """
    if not text.startswith(b"/"):
        return b"-"
    if b"?" in text or b"%" in text:
        text = _QUERY.split(text, maxsplit=1)[0]
    if not text.translate(None, _PLAIN):
        return text
    return json.dumps(text.decode("latin-1"))[1:-1].encode()

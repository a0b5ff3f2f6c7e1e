"""What all exchanges of one gateway process share."""

import os
import re
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from modelport_contracts.errors import REQUEST_ID_PATTERN
from modelport_gateway.account.access_log import AccessLog, Record, safe_path
from modelport_gateway.account.clock import Clock
from modelport_gateway.account.metrics import NO_PROVIDER, DataPlaneMetrics
from modelport_gateway.admit.admission import Limits
from modelport_gateway.admit.timeouts import Timeouts
from modelport_gateway.errors import GatewayError
from modelport_gateway.parse.head import RequestHead
from modelport_gateway.relay.cors import reply_lines
from modelport_gateway.relay.replies import error_reply
from modelport_gateway.send.cork import Cork

if TYPE_CHECKING:
    from modelport_gateway.relay.exchange import Exchange

_ACCEPTED_ID: Final = re.compile(REQUEST_ID_PATTERN.encode())


class Context:
    """Clock, log, limits in time, and the exchanges that are running."""

    __slots__ = (
        "_counter",
        "_prefix",
        "access_log",
        "active",
        "clock",
        "cork",
        "cors_origins",
        "draining",
        "extra_lines",
        "limits",
        "metrics",
        "retry",
        "timeouts",
    )

    def __init__(
        self,
        clock: Clock,
        access_log: AccessLog,
        timeouts: Timeouts,
        limits: Limits,
        cors_origins: Collection[str],
        retry: "Callable[[Exchange, bytes], None]",
        metrics: DataPlaneMetrics,
    ) -> None:
        self.clock = clock
        self.access_log = access_log
        self.timeouts = timeouts
        self.limits = limits
        self.cors_origins = frozenset(cors_origins)
        self.retry = retry
        """Sends an exchange's request once more, on a fresh connection."""
        self.metrics = metrics
        self.active: set[Exchange] = set()
        self.cork = Cork(self.active)
        self.draining = False
        self.extra_lines: list[bytes] = []
        """Header lines that every reply gets now."""
        self._prefix = os.urandom(6).hex().encode()
        self._counter = 0

    def request_id(self, wanted: bytes | None) -> bytes:
        """Return the client's request id if it is harmless in headers and logs, else a new one."""
        if wanted is not None and _ACCEPTED_ID.fullmatch(wanted):
            return wanted
        self._counter += 1
        return b"%b%08x" % (self._prefix, self._counter)

    def refusal(self, error: GatewayError, head: RequestHead | None) -> bytes:
        """Return the reply to what never became an exchange, after which the connection closes; it is logged.

        `head` is the request's where it could be read.
        """
        request_id = self.request_id(head.request_id if head is not None else None)
        method = head.method if head is not None else b"-"
        path = safe_path(head.target) if head is not None else b"-"
        self.access_log.add(
            self.clock.stamp, Record(request_id, method, path, error.status, error.error_code, "", 0, 0, 0.0)
        )
        now = self.clock.now
        self.metrics.finished(NO_PROVIDER, None, error.status, error.error_code, 0, 0, now, 0.0, 0.0, now, None)
        return error_reply(
            error,
            request_id=request_id,
            date_line=self.clock.date_line,
            close=True,
            without_body=method == b"HEAD",
            own_lines=self.own_lines(head) if head is not None else self.extra_lines,
        )

    def cors_lines(self, head: RequestHead) -> list[bytes]:
        """Return the lines that let a page read the reply; none unless origins are configured."""
        return reply_lines(self.cors_origins, head.origin) if self.cors_origins else []

    def own_lines(self, head: RequestHead) -> list[bytes]:
        """Return all lines of its own that the gateway adds to the reply to a request."""
        return self.cors_lines(head) + self.extra_lines

"""Connections to providers, per origin, last in, first out (docs/dataplane.md, Timeouts, retries, pool)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from modelport_gateway.prepare.url import Origin
from modelport_gateway.send.connection import UpstreamConnection
from modelport_gateway.send.cork import Cork
from modelport_gateway.send.egress import Egress


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How long connections are kept, in seconds.

    Node and uvicorn close an idle connection after 5 s: a request sent at that moment would be lost, hence 4.
    """

    idle_http_s: float = 4.0
    idle_https_s: float = 55.0
    max_age_s: float = 300.0
    max_idle: int = 1024
    """Per origin."""


_MARGIN_S: Final = 1.0


class PoolState(NamedTuple):
    """For the metrics: connections that stand now, and how they were had since the start."""

    open: int
    idle: int
    opened: int
    reused: int


class _Counts:
    """What the pools of all origins count together."""

    __slots__ = ("opened", "reused")

    def __init__(self) -> None:
        self.opened = 0
        self.reused = 0


class OriginPool:
    """The connections to one origin."""

    __slots__ = ("_counts", "_idle", "_limits", "_now", "connecting", "cork", "idle_s", "open", "origin")

    def __init__(
        self, origin: Origin, limits: PoolLimits, now: Callable[[], float], counts: _Counts, cork: Cork
    ) -> None:
        self.origin = origin
        self.cork = cork
        self._counts = counts
        self._limits = limits
        self._now = now
        self.idle_s = limits.idle_https_s if origin.is_tls else limits.idle_http_s
        self._idle: list[UpstreamConnection] = []
        self.open: set[UpstreamConnection] = set()
        self.connecting = 0

    def __repr__(self) -> str:
        return f"<OriginPool {self.origin} open={len(self.open)} idle={len(self._idle)}>"

    @property
    def idle(self) -> int:
        """How many connections wait for a request."""
        return len(self._idle)

    def take(self) -> UpstreamConnection | None:
        """Take the idle connection that was used last and is still good."""
        idle = self._idle
        now = self._now()
        while idle:
            connection = idle.pop()
            is_good = now < connection.idle_until and now - connection.created_at < self._limits.max_age_s
            if is_good and connection.is_quiet():
                self._counts.reused += 1
                return connection
            connection.discard()
        return None

    def release(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose reply has ended."""
        now = self._now()
        announced = connection.keep_alive_s
        connection.idle_until = now + (self.idle_s if announced is None else announced - _MARGIN_S)
        if len(self._idle) < self._limits.max_idle and self._is_good(connection, now):
            self._idle.append(connection)
        else:
            connection.discard()

    def forget(self, connection: UpstreamConnection) -> None:
        """Drop a connection that has closed."""
        self.open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def sweep(self) -> None:
        """Close what has been idle or open for too long."""
        now = self._now()
        expired = [connection for connection in self._idle if not self._is_good(connection, now)]
        if expired:
            self._idle = [connection for connection in self._idle if self._is_good(connection, now)]
            for connection in expired:
                connection.discard()

    def _is_good(self, connection: UpstreamConnection, now: float) -> bool:
        return now < connection.idle_until and now - connection.created_at < self._limits.max_age_s


class Pool:
    """All connections to providers. `now` is the coarse monotonic clock; requests leave through `cork`."""

    def __init__(self, egress: Egress, now: Callable[[], float], cork: Cork, limits: PoolLimits | None = None) -> None:
        self._egress = egress
        self._cork = cork
        self._now = now
        self._limits = limits or PoolLimits()
        self._origins: dict[Origin, OriginPool] = {}
        self._counts = _Counts()

    def state(self) -> PoolState:
        """Count connections, over all origins; may be asked from another thread."""
        pools = list(self._origins.values())
        counts = self._counts
        return PoolState(
            sum(len(pool.open) for pool in pools), sum(pool.idle for pool in pools), counts.opened, counts.reused
        )

    def origin(self, origin: Origin) -> OriginPool:
        """Return the pool of one origin."""
        found = self._origins.get(origin)
        if found is None:
            found = self._origins[origin] = OriginPool(origin, self._limits, self._now, self._counts, self._cork)
        return found

    async def connect(self, origin: Origin, timeout_s: float) -> UpstreamConnection:
        """Open a new connection within `timeout_s` seconds. Raises the causes of Egress.connect."""
        pool = self.origin(origin)
        pool.connecting += 1
        try:
            connection = await self._egress.connect(
                origin, lambda sock: UpstreamConnection(sock, pool, self._now()), timeout_s
            )
        finally:
            pool.connecting -= 1
        pool.open.add(connection)
        self._counts.opened += 1
        return connection

    def sweep(self) -> None:
        """Close expired connections and forget origins that have none."""
        for origin, pool in list(self._origins.items()):
            pool.sweep()
            if not pool.open and not pool.connecting:
                del self._origins[origin]

    def close(self) -> None:
        """Close everything."""
        for pool in self._origins.values():
            for connection in list(pool.open):
                connection.discard()
        self._origins.clear()

"""What the data plane counts: plain numbers, added to once per request, at its end (docs/metrics.md).

The event loop writes and a scrape reads from a thread of its own: what one scrape shows may lie a request apart.
"""

from bisect import bisect_left
from typing import Final, NamedTuple

from modelport_gateway.parse.path import MODEL, OPENAI, PROVIDER, RouteKind
from modelport_kit.metrics.histogram import LONG_S, SHORT_S, Histogram

MAX_PROVIDERS: Final = 1000
"""Each has some forty series of its own; the ones that come later share those of `other`."""
NO_PROVIDER: Final = "none"
OTHER: Final = "other"
# A provider's label is `workspace/name`, so these two are no provider's.

ROUTES: Final = (str(PROVIDER), str(MODEL), str(OPENAI), "none")
_PROVIDER_ROUTE, _MODEL_ROUTE, _OPENAI_ROUTE, _NO_ROUTE = range(4)
CLASSES: Final = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")
ORIGINS: Final = ("none", "upstream", "gateway", "client")
_FINE, _UPSTREAM, _GATEWAY, _CLIENT = range(4)
_CLIENT_CODES: Final = frozenset({"client_closed", "client_stalled"})
_PER_CLASS: Final = len(ORIGINS)
_PER_ROUTE: Final = len(CLASSES) * _PER_CLASS


class Waits:
    """What a request waited for before it was sent, in seconds. Only those that had to wait have one."""

    __slots__ = ("asked_table", "connect_s", "other_s", "queue_s")

    def __init__(self) -> None:
        self.asked_table = False
        """The route was not known here: Redis was asked."""
        self.queue_s = 0.0
        """For one of the provider's slots."""
        self.connect_s = 0.0
        """For a new connection, also one that failed."""
        self.other_s = 0.0
        """For the client's body, and for a first attempt at the provider."""


class PlaneState(NamedTuple):
    """What stands at the moment of a scrape, and what the pool has counted."""

    in_flight: int
    client_connections: int
    connections_open: int
    connections_idle: int
    connections_opened: int
    connections_reused: int
    secrets_held: int


class ProviderCounts:
    """The numbers of one provider."""

    __slots__ = ("bytes_in", "bytes_out", "first_byte", "queue", "requests", "total")

    def __init__(self) -> None:
        self.requests = [0] * (len(ROUTES) * _PER_ROUTE)
        """By route, class of status and origin of the error; `outcomes` names them."""
        self.total = Histogram(LONG_S)
        self.first_byte = Histogram(LONG_S)
        self.queue: Histogram | None = None
        """Made at the first wait: most providers have no limit."""
        self.bytes_in = 0
        self.bytes_out = 0


class DataPlaneMetrics:
    """The numbers of one gateway process."""

    __slots__ = (
        "_max_providers",
        "connect",
        "errors",
        "overhead",
        "providers",
        "retries",
        "routes_asked",
        "routes_known",
    )

    def __init__(self, max_providers: int = MAX_PROVIDERS) -> None:
        self._max_providers = max_providers
        self.providers: dict[str, ProviderCounts] = {NO_PROVIDER: ProviderCounts()}
        """By `workspace/name`."""
        self.overhead = [Histogram(SHORT_S) for _ in ROUTES]
        self.connect = Histogram(LONG_S)
        self.errors: dict[str, int] = {}
        """By code (docs/wire.md, 3.5); only those made here."""
        self.routes_known = 0
        self.routes_asked = 0
        self.retries = 0

    def finished(
        self,
        provider: str,
        kind: RouteKind | None,
        status: int,
        error_code: str,
        bytes_in: int,
        bytes_out: int,
        started_at: float,
        sent_at: float,
        first_byte_at: float,
        ended_at: float,
        waits: Waits | None,
    ) -> None:
        """Count a request that has ended. Times are monotonic, in seconds; 0.0 is a step it did not come to.

        `provider` is the label of its target, NO_PROVIDER without one; `kind` is None where no route was recognised.
        """
        counts = self.providers.get(provider)
        if counts is None:
            counts = self._counts_of(provider)
        if kind is PROVIDER:
            route = _PROVIDER_ROUTE
        elif kind is OPENAI:
            route = _OPENAI_ROUTE
        else:
            route = _MODEL_ROUTE if kind is MODEL else _NO_ROUTE
        if error_code:
            self.errors[error_code] = self.errors.get(error_code, 0) + 1
            origin = _CLIENT if error_code in _CLIENT_CODES else _GATEWAY
        else:
            origin = _UPSTREAM if status >= 400 and sent_at else _FINE
        status_class = status // 100 if status < 600 else 0
        counts.requests[route * _PER_ROUTE + status_class * _PER_CLASS + origin] += 1
        counts.bytes_in += bytes_in
        counts.bytes_out += bytes_out
        # Histogram.observe, written out: its calls would be a third of the whole.
        total = counts.total
        took_s = ended_at - started_at
        total.counts[bisect_left(LONG_S, took_s)] += 1
        total.sum += took_s
        if first_byte_at:
            first_byte = counts.first_byte
            took_s = first_byte_at - sent_at
            first_byte.counts[bisect_left(LONG_S, took_s)] += 1
            first_byte.sum += took_s
        if waits is not None:
            self._waited(counts, route, waits, sent_at - started_at if sent_at else -1.0)
        elif sent_at:
            self.routes_known += 1
            overhead = self.overhead[route]
            took_s = sent_at - started_at
            overhead.counts[bisect_left(SHORT_S, took_s)] += 1
            overhead.sum += took_s

    def _waited(self, counts: ProviderCounts, route: int, waits: Waits, way_in_s: float) -> None:
        """Count what was waited for; `way_in_s` is negative where the request was never sent."""
        if waits.asked_table:
            self.routes_asked += 1
        elif way_in_s >= 0:
            self.routes_known += 1
        if waits.connect_s:
            self.connect.observe(waits.connect_s)
        if waits.queue_s:
            if counts.queue is None:
                counts.queue = Histogram(LONG_S)
            counts.queue.observe(waits.queue_s)
        if way_in_s >= 0:
            # The clock of the parts is the clock of the whole; what is left of rounding is nothing.
            own_s = way_in_s - waits.queue_s - waits.connect_s - waits.other_s
            self.overhead[route].observe(max(own_s, 0.0))

    def _counts_of(self, provider: str) -> ProviderCounts:
        """Return the counts of a provider not seen before."""
        if len(self.providers) > self._max_providers:
            provider = OTHER
        return self.providers.setdefault(provider, ProviderCounts())


def outcomes() -> list[tuple[str, str, str]]:
    """Return what each number of `ProviderCounts.requests` stands for: (route, class, origin)."""
    return [(route, status, origin) for route in ROUTES for status in CLASSES for origin in ORIGINS]

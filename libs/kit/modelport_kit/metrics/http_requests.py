"""What a service's HTTP interface counts: requests by route template, so that the number of series is bounded."""

from collections.abc import Iterable
from typing import Any, Final

from prometheus_client.core import Metric

from modelport_kit.metrics.families import counter, histogram
from modelport_kit.metrics.histogram import LONG_S, Histogram

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NO_ROUTE: Final = "none"
_CLASSES: Final = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")


class HttpRequests:
    """Counts requests that have ended."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], int] = {}
        self._durations: dict[str, Histogram] = {}

    def finished(self, method: str, route: Any, status: int, took_s: float) -> None:
        """Count a request; `route` is what the framework put into the scope, None where no route was found."""
        template = getattr(route, "path_format", _NO_ROUTE)
        key = (method if method in _METHODS else "other", template, _CLASSES[status // 100 if status < 600 else 0])
        self._counts[key] = self._counts.get(key, 0) + 1
        durations = self._durations.get(template)
        if durations is None:
            durations = self._durations[template] = Histogram(LONG_S)
        durations.observe(took_s)

    def collect(self) -> Iterable[Metric]:
        """Show them."""
        yield counter(
            "modelport_http_requests_total",
            "Requests that ended, by route template; without inference.",
            ("method", "route", "status"),
            list(self._counts.items()),
        )
        yield histogram(
            "modelport_http_request_duration_seconds",
            "How long they took.",
            ("route",),
            [((route,), durations) for route, durations in list(self._durations.items())],
        )

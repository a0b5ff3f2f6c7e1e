"""All metrics of one process: what every service has, and what its parts add (docs/metrics.md)."""

import contextlib
import importlib.metadata
import socket
from collections.abc import Callable, Iterable, Iterator

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric

from modelport_kit.metrics.families import gauge, histogram
from modelport_kit.metrics.http_requests import HttpRequests
from modelport_kit.metrics.loop_lag import LoopLag
from modelport_kit.metrics.server import PATH, serving

logger = structlog.get_logger(__name__)

Collect = Callable[[], Iterable[Metric]]


class _Collector:
    """The library registers objects with a method; a function is enough."""

    def __init__(self, collect: Collect) -> None:
        self.collect = collect


class ServiceMetrics:
    """One process's metrics. `service` is its name in `modelport_build_info`."""

    def __init__(self, service: str) -> None:
        self._service = service
        self.http = HttpRequests()
        self._lag = LoopLag()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.add(self._own_families)
        self.add(self.http.collect)

    def add(self, collect: Collect) -> None:
        """Add what a part counts; `collect` runs in the scrape's thread."""
        self.registry.register(_Collector(collect))

    @contextlib.contextmanager
    def served(self, listener: socket.socket | None) -> Iterator[None]:
        """Serve /metrics on a listening socket, and measure the running event loop; None does nothing."""
        if listener is None:
            yield
            return
        host, port = listener.getsockname()[:2]
        with serving(self.registry, listener):
            logger.info("metrics are served", host=host, port=port, path=PATH)
            self._lag.start()
            try:
                yield
            finally:
                self._lag.stop()

    def _own_families(self) -> Iterable[Metric]:
        version = importlib.metadata.version("modelport")
        yield gauge(
            "modelport_build_info",
            "Always 1; the labels say which service and release this is.",
            ("service", "version"),
            [((self._service, version), 1)],
        )
        yield histogram(
            "modelport_event_loop_lag_seconds",
            "How late a timer of the event loop was, four times a second.",
            (),
            [((), self._lag.histogram)],
        )

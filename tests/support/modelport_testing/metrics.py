"""What a scrape of /metrics shows, read by the Prometheus library's own parser."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from modelport_kit.metrics.server import serving
from modelport_kit.metrics.service import Collect
from modelport_kit.settings import ServiceSettings


@dataclass(frozen=True)
class Scrape:
    """The families of one scrape, by name; a counter's name is without its `_total`."""

    families: dict[str, Metric]

    def value(self, sample: str, **labels: str) -> float:
        """Sum up a sample over the series that have these labels; 0.0 where there are none."""
        return sum(
            one.value
            for family in self.families.values()
            for one in family.samples
            if one.name == sample and labels.items() <= one.labels.items()
        )

    def labels(self, family: str) -> set[frozenset[str]]:
        """Return the names of labels that a family's series have; `le` is a histogram's own."""
        return {frozenset(one.labels) - {"le"} for one in self.families[family].samples}


def scrape(url: str) -> Scrape:
    """Get the metrics at a URL."""
    reply = httpx.get(url, trust_env=False, timeout=15)
    assert reply.status_code == 200, reply.text
    return Scrape({family.name: family for family in text_string_to_metric_families(reply.text)})


@contextmanager
def served(*parts: Collect) -> Iterator[str]:
    """Serve parts' metrics on a port of their own; gives the URL."""
    registry = CollectorRegistry()
    for part in parts:
        registry.register(_Part(part))
    listener = ServiceSettings(metrics_port=0).metrics_socket()
    assert listener is not None
    port = listener.getsockname()[1]
    with serving(registry, listener):
        yield f"http://127.0.0.1:{port}/metrics"


class _Part:
    def __init__(self, collect: Collect) -> None:
        self.collect = collect

"""Metric families of the Prometheus library from plain numbers."""

from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from modelport_kit.metrics.histogram import Histogram

Rows = Iterable[tuple[Sequence[str], float]]
"""The values of the labels, and the number."""


def counter(name: str, text: str, labels: Sequence[str], rows: Rows) -> Metric:
    """Make a family of what only grows; `name` ends in `_total`."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def gauge(name: str, text: str, labels: Sequence[str], rows: Rows) -> Metric:
    """Make a family of what goes up and down."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def histogram(name: str, text: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], Histogram]]) -> Metric:
    """Make a family of histograms."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, one in rows:
        bounds = (*(str(float(bound)) for bound in one.bounds), "+Inf")
        family.add_metric(values, list(zip(bounds, accumulate(list(one.counts)), strict=True)), one.sum)
    return family

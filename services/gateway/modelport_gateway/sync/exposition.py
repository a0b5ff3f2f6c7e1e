"""The routing table as this process sees it, and what it does for it, as metric families (docs/metrics.md)."""

import dataclasses
from collections.abc import Iterable, Mapping

from prometheus_client.core import Metric

from modelport_contracts.records import SOURCES, Source
from modelport_gateway.sync.reconciler import Reconciler
from modelport_kit.metrics.families import counter, gauge
from modelport_routing import NearCache


def table_families(table: NearCache, reconcilers: Mapping[Source, Reconciler]) -> Iterable[Metric]:
    """Make the families; runs in the scrape's thread."""
    complete = table.complete
    yield gauge(
        "modelport_gateway_table_connected",
        "1 while there is a connection to Redis.",
        (),
        [((), table.connected)],
    )
    yield gauge(
        "modelport_gateway_table_complete",
        "1 while Redis holds all records of a source, as last seen.",
        ("source",),
        [((source,), source in complete) for source in SOURCES],
    )
    yield gauge(
        "modelport_gateway_table_entries",
        "Records in the near cache: known to be there, and known to be absent.",
        ("state",),
        [(("present",), table.present_entries), (("absent",), table.absent_entries)],
    )
    yield counter(
        "modelport_gateway_table_sync_total",
        "What this process did for a source's records.",
        ("source", "action"),
        [
            ((source, action), number)
            for source, reconciler in reconcilers.items()
            for action, number in dataclasses.asdict(reconciler.counts).items()
        ],
    )

"""The routing table as this process sees it, and what it does for it, as metric families (docs/metrics.md)."""

import dataclasses
from collections.abc import Iterable, Mapping

from prometheus_client.core import Metric

from modelport_contracts.records import SOURCES, Source
from modelport_gateway.sync.reconciler import Reconciler
from modelport_gateway.sync.snapshot import SnapshotKeeper
from modelport_kit.metrics.families import counter, gauge
from modelport_routing import Fence, GatewayWatch, Lease, NearCache


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


def snapshot_families(keeper: SnapshotKeeper | None) -> Iterable[Metric]:
    """Make the families of the last-known-good snapshot, None where there is none; runs in the scrape's thread."""
    age_s = keeper.age_s() if keeper is not None else None
    written, failed = (keeper.written, keeper.failed) if keeper is not None else (0, 0)
    yield gauge(
        "modelport_gateway_snapshot_serving",
        "1 while requests are served from the snapshot that this process started with.",
        (),
        [((), keeper is not None and keeper.is_serving)],
    )
    yield gauge(
        "modelport_gateway_snapshot_age_seconds",
        "How long ago what the file says was true; nothing where there is no file.",
        (),
        [] if age_s is None else [((), age_s)],
    )
    yield counter(
        "modelport_gateway_snapshot_writes_total",
        "Times that the snapshot was to be written.",
        ("outcome",),
        [(("written",), written), (("failed",), failed)],
    )


def fleet_families(fence: Fence, lease: Lease, watch: GatewayWatch) -> Iterable[Metric]:
    """Make the families of what this process tells others, and sees of them; runs in the scrape's thread."""
    fleet = watch.fleet
    yield counter(
        "modelport_gateway_fences_total",
        "Acknowledgements of the routing table that this process has written.",
        (),
        [((), fence.fences)],
    )
    yield gauge(
        "modelport_gateway_away",
        "1 while this process knows that it is cut off from Redis, and serves what it knows.",
        (),
        [((), lease.is_away)],
    )
    yield counter(
        "modelport_gateway_served_away_total",
        "Requests that were served while cut off from Redis.",
        (),
        [((), lease.served_away)],
    )
    yield gauge(
        "modelport_gateway_fleet",
        "Gateway processes as this one sees them: live, and gone without leaving.",
        ("state",),
        [(("live",), len(fleet.live)), (("gone",), len(fleet.gone))],
    )

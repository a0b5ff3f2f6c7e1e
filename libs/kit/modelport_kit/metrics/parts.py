"""Metrics of the parts that services share: background loops, the bus, the database, the outbox."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from prometheus_client.core import Metric

from modelport_kit.metrics.families import counter, gauge, histogram
from modelport_kit.metrics.histogram import Histogram


def loop_families(failures: Mapping[str, int]) -> Iterable[Metric]:
    """Show how often each background loop has failed."""
    yield counter(
        "modelport_background_loop_failures_total",
        "Failures of background loops; each was started again.",
        ("loop",),
        [((name,), number) for name, number in list(failures.items())],
    )


class BusCountsLike(Protocol):
    """What the bus counts."""

    published: int
    handled: int
    failed: int
    poisoned: int


class BusLike(Protocol):
    """What is asked of modelport_bus.Bus."""

    @property
    def connected(self) -> bool: ...

    @property
    def counts(self) -> BusCountsLike: ...


def bus_families(bus: BusLike) -> Iterable[Metric]:
    """Show what the connection to NATS does."""
    counts = bus.counts
    yield gauge("modelport_bus_connected", "1 while there is a connection to NATS.", (), [((), bus.connected)])
    yield counter(
        "modelport_bus_messages_total",
        "Messages published, handled, failed (they come again) and poisoned (dropped).",
        ("outcome",),
        [
            (("published",), counts.published),
            (("handled",), counts.handled),
            (("failed",), counts.failed),
            (("poisoned",), counts.poisoned),
        ],
    )


class DatabaseCountsLike(Protocol):
    """What a database counts."""

    @property
    def transactions(self) -> Mapping[tuple[str, str], int]: ...

    @property
    def durations(self) -> Mapping[str, Histogram]: ...


class DatabaseLike(Protocol):
    """What is asked of modelport_kit.database.Database; the gateway must not import that one."""

    @property
    def counts(self) -> DatabaseCountsLike: ...

    @property
    def connections_in_use(self) -> int: ...


def database_families(database: DatabaseLike) -> Iterable[Metric]:
    """Show what a service's database does."""
    counts = database.counts
    yield counter(
        "modelport_database_transactions_total",
        "Transactions that ended, by kind and outcome.",
        ("kind", "outcome"),
        list(counts.transactions.items()),
    )
    yield histogram(
        "modelport_database_transaction_duration_seconds",
        "How long they took, with the wait for a connection and for other writers.",
        ("kind",),
        [((kind,), durations) for kind, durations in counts.durations.items()],
    )
    yield gauge(
        "modelport_database_connections_in_use",
        "Database connections in use.",
        (),
        [((), database.connections_in_use)],
    )


def outbox_families(set_aside: int) -> Iterable[Metric]:
    """Show what the outbox had to give up."""
    yield counter(
        "modelport_outbox_set_aside_total",
        "Changes that the bus refused for good.",
        (),
        [((), set_aside)],
    )

"""Metrics of the parts that services share: background loops, the bus, the database, the outbox."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from prometheus_client.core import Metric

from modelport_kit.metrics.families import counter, gauge, histogram
from modelport_kit.metrics.histogram import Histogram


class LoopsLike(Protocol):
    """What is asked of modelport_kit.lifecycle.BackgroundLoops."""

    @property
    def failures(self) -> Mapping[str, int]: ...

    def ages_s(self) -> Mapping[str, float]: ...


def loop_families(loops: LoopsLike) -> Iterable[Metric]:
    """Show how often each background loop has failed, and how long ago it last got somewhere."""
    yield counter(
        "modelport_background_loop_failures_total",
        "Failures of background loops; each was started again.",
        ("loop",),
        [((name,), number) for name, number in list(loops.failures.items())],
    )
    yield gauge(
        "modelport_background_loop_last_success_age_seconds",
        "How long ago each background loop last did what it is for.",
        ("loop",),
        [((name,), age_s) for name, age_s in loops.ages_s().items()],
    )


def dependency_families(up: Mapping[str, bool]) -> Iterable[Metric]:
    """Show which of what a process depends on is there."""
    yield gauge(
        "modelport_dependency_up",
        "1 while a part that this process depends on answers, as last looked at.",
        ("dependency",),
        [((name,), is_up) for name, is_up in list(up.items())],
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

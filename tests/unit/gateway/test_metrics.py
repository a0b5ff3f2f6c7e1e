"""The data plane's counters: plain numbers, bounded in number, exact."""

import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport_gateway.account.metrics import (
    NO_PROVIDER,
    OTHER,
    ROUTES,
    DataPlaneMetrics,
    ProviderCounts,
    Waits,
    outcomes,
)
from modelport_gateway.parse.path import MODEL, OPENAI, PROVIDER, RouteKind
from modelport_kit.metrics.histogram import LONG_S, SHORT_S, Histogram


def finish(
    metrics: DataPlaneMetrics,
    provider: str = "default/openai",
    kind: RouteKind | None = PROVIDER,
    status: int = 200,
    code: str = "",
    *,
    times: tuple[float, float, float, float] = (10.0, 10.001, 10.2, 10.5),
    waits: Waits | None = None,
) -> None:
    metrics.finished(provider, kind, status, code, 100, 2000, *times, waits)


def counted(counts: ProviderCounts) -> dict[tuple[str, str, str], int]:
    return {names: number for names, number in zip(outcomes(), counts.requests, strict=True) if number}


@given(st.lists(st.floats(min_value=0, max_value=1000), max_size=50))
def test_a_histogram_counts_each_value_in_the_first_bucket_that_holds_it(values: list[float]) -> None:
    histogram = Histogram(LONG_S)
    for value in values:
        histogram.observe(value)
    for number, bound in enumerate(histogram.bounds):
        assert sum(histogram.counts[: number + 1]) == sum(value <= bound for value in values)
    assert sum(histogram.counts) == len(values)
    assert histogram.sum == sum(values)


@pytest.mark.parametrize("bounds", [SHORT_S, LONG_S])
def test_bounds_ascend(bounds: tuple[float, ...]) -> None:
    assert list(bounds) == sorted(set(bounds))


@given(
    st.lists(
        st.tuples(
            st.floats(min_value=0.0, max_value=10.0),
            st.floats(min_value=0.0, max_value=700.0),
            st.floats(min_value=0.0, max_value=700.0),
        ),
        max_size=30,
    )
)
def test_what_is_written_out_on_the_hot_path_is_what_histograms_do(steps: list[tuple[float, float, float]]) -> None:
    metrics = DataPlaneMetrics()
    overhead, first_byte, total = Histogram(SHORT_S), Histogram(LONG_S), Histogram(LONG_S)
    for own_s, answer_s, rest_s in steps:
        sent = 1.0 + own_s
        first = sent + answer_s
        finish(metrics, times=(1.0, sent, first, first + rest_s))
        overhead.observe(sent - 1.0)
        first_byte.observe(first - sent)
        total.observe(first + rest_s - 1.0)
    counts = metrics.providers.get("default/openai", ProviderCounts())
    for mine, plain in (
        (metrics.overhead[0], overhead),
        (counts.first_byte, first_byte),
        (counts.total, total),
    ):
        assert (mine.counts, mine.sum) == (plain.counts, plain.sum)


@pytest.mark.parametrize(
    ("kind", "status", "code", "expected"),
    [
        (PROVIDER, 200, "", ("provider", "2xx", "none")),
        (MODEL, 304, "", ("model", "3xx", "none")),
        (OPENAI, 429, "", ("openai", "4xx", "upstream")),
        (OPENAI, 500, "", ("openai", "5xx", "upstream")),
        (PROVIDER, 502, "connect_failed", ("provider", "5xx", "gateway")),
        (PROVIDER, 200, "upstream_closed", ("provider", "2xx", "gateway")),
        (PROVIDER, 499, "client_closed", ("provider", "4xx", "client")),
        (MODEL, 200, "client_stalled", ("model", "2xx", "client")),
        (PROVIDER, 799, "", ("provider", "other", "upstream")),
        (None, 400, "malformed_request", ("none", "4xx", "gateway")),
    ],
)
def test_each_outcome_has_its_number(
    kind: RouteKind | None, status: int, code: str, expected: tuple[str, str, str]
) -> None:
    metrics = DataPlaneMetrics()
    finish(metrics, kind=kind, status=status, code=code)
    assert counted(metrics.providers["default/openai"]) == {expected: 1}
    assert metrics.errors == ({code: 1} if code else {})


def test_all_outcomes_are_apart() -> None:
    assert len(set(outcomes())) == len(outcomes()) == len(ProviderCounts().requests)


def test_bytes_are_summed_up() -> None:
    metrics = DataPlaneMetrics()
    finish(metrics)
    finish(metrics)
    counts = metrics.providers["default/openai"]
    assert (counts.bytes_in, counts.bytes_out) == (200, 4000)


def test_waiting_is_no_overhead() -> None:
    metrics = DataPlaneMetrics()
    waits = Waits()
    waits.asked_table = True
    waits.connect_s, waits.queue_s, waits.other_s = 1.0, 2.0, 4.0
    finish(metrics, kind=OPENAI, times=(10.0, 17.5, 18.0, 18.0), waits=waits)
    queue = metrics.providers["default/openai"].queue
    assert queue is not None
    assert (metrics.connect.sum, queue.sum) == (1.0, 2.0)
    assert metrics.overhead[ROUTES.index("openai")].sum == pytest.approx(0.5)
    assert (metrics.routes_known, metrics.routes_asked) == (0, 1)


def test_what_never_was_sent_has_no_overhead_and_no_first_byte() -> None:
    metrics = DataPlaneMetrics()
    waits = Waits()
    waits.connect_s = 3.0
    finish(metrics, status=502, code="connect_failed", times=(10.0, 0.0, 0.0, 13.0), waits=waits)
    finish(metrics, NO_PROVIDER, status=404, code="not_found", times=(10.0, 0.0, 0.0, 10.1))
    assert not any(sum(one.counts) for one in metrics.overhead)
    assert sum(metrics.providers["default/openai"].first_byte.counts) == 0
    assert metrics.connect.sum == 3.0
    assert (metrics.routes_known, metrics.routes_asked) == (0, 0)


def test_the_number_of_providers_is_bounded() -> None:
    metrics = DataPlaneMetrics(max_providers=3)
    for number in range(10):
        finish(metrics, f"default/p{number}")
    finish(metrics, "default/p0")
    assert set(metrics.providers) == {NO_PROVIDER, "default/p0", "default/p1", "default/p2", OTHER}
    assert sum(metrics.providers[OTHER].requests) == 7
    assert sum(metrics.providers["default/p0"].requests) == 2


def test_a_request_pays_little() -> None:
    metrics = DataPlaneMetrics()
    rounds = timeit.repeat(lambda: finish(metrics), number=2000, repeat=7)
    # About 0.7 us on the machine of docs/benchmarks.md, 1.2 with this helper; the bound is for much slower ones.
    assert min(rounds) / 2000 < 20e-6

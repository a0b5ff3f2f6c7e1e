"""What all processes measure, and the server that shows it."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterable

import httpx
import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from modelport_kit.database.counts import DatabaseCounts
from modelport_kit.errors import AwayError
from modelport_kit.lifecycle import BackgroundLoops
from modelport_kit.metrics.families import counter, histogram
from modelport_kit.metrics.histogram import Histogram
from modelport_kit.metrics.http_requests import HttpRequests
from modelport_kit.metrics.loop_lag import LoopLag
from modelport_kit.metrics.parts import dependency_families, loop_families
from modelport_kit.metrics.service import ServiceMetrics
from modelport_kit.settings import ServiceSettings, SettingsError, load
from modelport_testing.metrics import scrape, served
from modelport_testing.polling import eventually


def three() -> Iterable[Metric]:
    took = Histogram((0.1, 1, 10))
    for value in (0.1, 0.2, 99.0):
        took.observe(value)
    yield counter("modelport_things_total", "Things.", ("kind",), [(("a",), 3), (('b"\\\n',), 4)])
    yield histogram("modelport_took_seconds", "Time.", (), [((), took)])


def test_a_scrape_is_read_back_by_the_library() -> None:
    with served(three) as url:
        seen = scrape(url)
    assert seen.value("modelport_things_total", kind="a") == 3
    assert seen.value("modelport_things_total", kind='b"\\\n') == 4
    buckets = {bound: seen.value("modelport_took_seconds_bucket", le=bound) for bound in ("0.1", "1.0", "10.0", "+Inf")}
    assert buckets == {"0.1": 1, "1.0": 2, "10.0": 2, "+Inf": 3}
    assert seen.value("modelport_took_seconds_count") == 3
    assert seen.value("modelport_took_seconds_sum") == pytest.approx(99.3)


def test_openmetrics_for_those_who_ask() -> None:
    with served(three) as url:
        reply = httpx.get(url, headers={"accept": "application/openmetrics-text; version=1.0.0"}, trust_env=False)
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    families = parse_openmetrics(reply.text)  # type: ignore[no-untyped-call]
    assert {family.name for family in families} == {"modelport_things", "modelport_took_seconds"}


def test_one_path_and_reading_only() -> None:
    with served(three) as url, httpx.Client(base_url=url.removesuffix("/metrics"), trust_env=False) as client:
        assert client.get("/").status_code == 404
        assert client.get("/metrics/").status_code == 404
        assert client.get("/health/live").status_code == 404
        assert client.post("/metrics").status_code == 405
        assert client.get("/metrics?name[]=modelport_things_total").status_code == 200


def test_what_cannot_be_counted_is_a_500_and_the_next_scrape_is_answered() -> None:
    broken = [True]

    def part() -> Iterable[Metric]:
        if broken:
            raise RuntimeError("a bug")
        return three()

    with served(part) as url:
        assert httpx.get(url, trust_env=False).status_code == 500
        broken.clear()
        assert scrape(url).value("modelport_things_total", kind="a") == 3


def test_a_client_that_says_nothing_holds_up_nobody() -> None:
    with served(three) as url, contextlib.ExitStack() as silent:
        port = int(url.split(":")[2].split("/")[0])
        # One after another they would take longer than a scrape waits.
        for _ in range(4):
            silent.enter_context(socket.create_connection(("127.0.0.1", port)))
        assert scrape(url).value("modelport_things_total", kind="a") == 3


def test_the_server_ends_at_once_and_frees_its_port() -> None:
    with served(three) as url:
        scrape(url)
        began = time.monotonic()
    assert time.monotonic() - began < 2
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


async def test_it_answers_while_the_event_loop_is_stuck() -> None:
    metrics = ServiceMetrics("test")
    with metrics.served(ServiceSettings(metrics_port=0).metrics_socket()):
        pass
    listener = ServiceSettings(metrics_port=0).metrics_socket()
    assert listener is not None
    port = listener.getsockname()[1]
    with metrics.served(listener):
        # A blocking call on the loop's own thread: nothing of asyncio could answer it.
        seen = scrape(f"http://127.0.0.1:{port}/metrics")
    assert seen.value("modelport_build_info", service="test") == 1


async def test_lag_is_measured() -> None:
    lag = LoopLag()
    lag.start()
    try:
        await eventually(lambda: sum(lag.histogram.counts) >= 1, 5)
        before = lag.histogram.sum
        time.sleep(0.6)  # what must not happen
        await eventually(lambda: lag.histogram.sum - before >= 0.3, 5)
    finally:
        lag.stop()
    looks = sum(lag.histogram.counts)
    await asyncio.sleep(0.4)
    assert sum(lag.histogram.counts) == looks


class Route:
    path_format = "/apis/things/{name}"


def test_requests_are_counted_by_template() -> None:
    requests = HttpRequests()
    requests.finished("GET", Route(), 200, 0.01)
    requests.finished("GET", Route(), 204, 0.01)
    requests.finished("BREW", None, 404, 0.01)
    requests.finished("GET", Route(), 0, 0.01)
    with served(requests.collect) as url:
        seen = scrape(url)
    name = "modelport_http_requests_total"
    assert seen.value(name, method="GET", route="/apis/things/{name}", status="2xx") == 2
    assert seen.value(name, method="other", route="none", status="4xx") == 1
    assert seen.value(name, status="other") == 1
    assert seen.value("modelport_http_request_duration_seconds_count", route="/apis/things/{name}") == 3


def test_loops_and_dependencies() -> None:
    now = 100.0
    loops = BackgroundLoops(clock=lambda: now)
    for name in ("outbox", "discovery"):
        loops.add(name, never)
    loops.failures["outbox"] = 2
    succeeded = loops.succeeds("outbox")
    with served(lambda: loop_families(loops), lambda: dependency_families({"nats": True, "models": False})) as url:
        now = 107.0
        seen = scrape(url)
        assert seen.value("modelport_background_loop_failures_total", loop="outbox") == 2
        assert seen.value("modelport_background_loop_failures_total", loop="discovery") == 0
        assert seen.value("modelport_background_loop_last_success_age_seconds", loop="outbox") == 7
        assert seen.value("modelport_dependency_up", dependency="nats") == 1
        assert seen.value("modelport_dependency_up") == 1
        succeeded()
        assert scrape(url).value("modelport_background_loop_last_success_age_seconds") == 0


async def never() -> None:
    await asyncio.Event().wait()


def test_no_port_no_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ServiceSettings().metrics_socket() is None
    monkeypatch.setenv("MODELPORT_METRICS_PORT", "0")
    listener = load(ServiceSettings).metrics_socket()
    assert listener.getsockname()[0] == "127.0.0.1"
    monkeypatch.setenv("MODELPORT_METRICS_PORT", str(listener.getsockname()[1]))
    with pytest.raises(SettingsError, match="MODELPORT_METRICS_PORT"):
        load(ServiceSettings).metrics_socket()
    monkeypatch.setenv("MODELPORT_METRICS_FD", str(listener.detach()))
    inherited = load(ServiceSettings).metrics_socket()
    assert inherited is not None
    inherited.close()


def test_transactions_by_outcome() -> None:
    counts = DatabaseCounts()
    with counts.counting("read"):
        pass
    with pytest.raises(AwayError), counts.counting("write"):
        raise AwayError("the database is away")
    with pytest.raises(KeyError), counts.counting("write"):
        raise KeyError("refused")
    ended = {key: number for key, number in counts.transactions.items() if number}
    assert ended == {("read", "committed"): 1, ("write", "away"): 1, ("write", "rolled_back"): 1}
    assert sum(counts.durations["write"].counts) == 2

import dataclasses
import json

import pytest

from modelport_bench.figures import Cell, Figures, Memory, Other, Sample, Soak, StreamFigures
from modelport_bench.page import page, table
from modelport_bench.sse import Streams
from modelport_bench.targets import Row, judge
from modelport_bench.workload import DIRECT, MAIN, NGINX, ONE, OPENAI_ROUTE, PROVIDER_ROUTE
from modelport_bench.wrk import Load


def cell(case: str, target: str, rate: int, cpu_us: float | None, p50_us: int = 100, p99_us: int = 1000) -> Cell:
    load = Load(rate, 1_000_000, 0, p50_us, p99_us, p99_us, p99_us)
    return Cell(case, target, [Sample(load, cpu_us)] * 5)


def figures(**more: object) -> Figures:
    made = Figures("a machine", "abc", {"nginx": "1.2.3"}, 0.1, 5)
    made.cells = [
        cell(MAIN.name, DIRECT, 40_000, None),
        cell(MAIN.name, NGINX, 20_000, 20, p99_us=1000),
        cell(MAIN.name, PROVIDER_ROUTE, 10_000, 50, p99_us=1900),
        cell(MAIN.name, OPENAI_ROUTE, 7_000, 80, p99_us=3100),
        cell(ONE.name, DIRECT, 40_000, None, p50_us=30),
        cell(ONE.name, NGINX, 20_000, 20, p50_us=60),
        cell(ONE.name, PROVIDER_ROUTE, 10_000, 50, p50_us=130),
        cell(ONE.name, OPENAI_ROUTE, 7_000, 80, p50_us=200),
    ]
    return dataclasses.replace(made, **more)  # type: ignore[arg-type]


def verdict(rows: list[Row], *words: str) -> Row:
    (row,) = [row for row in rows if all(word in row.what for word in words)]
    return row


def test_requests_are_held_against_nginx() -> None:
    rows = judge(figures())

    assert verdict(rows, "provider route", "requests/s").measured == "0.50 (10,000/s)"
    assert verdict(rows, "provider route", "requests/s").verdict == "met"
    assert verdict(rows, "OpenAI route", "requests/s").verdict == "missed"
    assert verdict(rows, "provider route", "CPU").verdict == "met"
    assert verdict(rows, "OpenAI route", "CPU").measured == "4.00 x (80 us)"
    assert verdict(rows, "provider route", "p99").verdict == "met, stretch too"
    assert verdict(rows, "OpenAI route", "p99").verdict == "missed"


def test_latency_is_what_is_added_to_the_direct_way() -> None:
    rows = judge(figures())

    assert verdict(rows, "provider route", "latency").measured == "3.3 x, 0.100 ms (nginx 0.030 ms)"
    assert verdict(rows, "provider route", "latency").verdict == "met"
    assert verdict(rows, "OpenAI route", "latency").verdict == "missed"


@pytest.mark.parametrize(("stalls", "lost", "met"), [(0, 0, True), (1, 0, False), (0, 1, False)])
def test_streams_may_neither_stall_nor_lose(stalls: int, lost: int, met: bool) -> None:
    first = {
        DIRECT: [Streams(first_event_ms=[1.0] * 100)],
        PROVIDER_ROUTE: [Streams(first_event_ms=[2.0] * 98 + [3.5, 9.0])],
    }
    steady = {
        DIRECT: Streams(),
        PROVIDER_ROUTE: Streams(streams=512, events=1000, stalls=stalls, stalled_streams=stalls, lost=lost),
    }
    rows = judge(figures(streams=StreamFigures(steady, first)))

    assert verdict(rows, "512 event streams").met is met
    assert verdict(rows, "first event").measured == "2.50 ms"
    assert verdict(rows, "first event").met


def test_streams_prove_nothing_where_the_direct_way_stalls() -> None:
    steady = {DIRECT: Streams(stalls=2, stalled_streams=1), PROVIDER_ROUTE: Streams(streams=512, events=1000)}
    row = verdict(judge(figures(streams=StreamFigures(steady))), "512 event streams")

    assert "void: directly 1 stall" in row.measured
    assert not row.met


def test_several_gateways_are_held_against_one() -> None:
    scaling = {
        0: [cell(MAIN.name, NGINX, 20_000, 20)],
        1: [cell(MAIN.name, PROVIDER_ROUTE, 10_000, 50)],
        2: [cell(MAIN.name, PROVIDER_ROUTE, 15_000, 50)],
    }

    assert verdict(judge(figures(scaling=scaling)), "2 gateway processes").measured == "1.50 x (15,000/s)"


def test_memory_may_not_rise() -> None:
    warming = [50.0 + number for number in range(10)]
    flat = judge(figures(memory=Memory(74, 80), soak=Soak([*warming, *[60.0, 60.1] * 20])))
    rising = judge(figures(memory=Memory(91, 95), soak=Soak([60 + number / 30 for number in range(60)])))

    assert verdict(flat, "soak").met
    assert verdict(flat, "at start").met
    assert not verdict(rising, "soak").met
    assert not verdict(rising, "at start").met


def test_others_are_held_against_our_route_that_does_the_like() -> None:
    others = {
        "litellm": Other("1", "plain", OPENAI_ROUTE, cell(MAIN.name, "litellm", 70, 1), 300),
        "portkey": Other("2", "plain", OPENAI_ROUTE, cell(MAIN.name, "portkey", 700, 1), 300),
        "platform": Other("3", "plain", PROVIDER_ROUTE, cell(MAIN.name, "platform", 100, 1), 300),
    }
    rows = judge(figures(others=others))

    assert verdict(rows, "litellm").measured == "100 x (litellm: 70/s)"
    assert verdict(rows, "litellm").met
    assert not verdict(rows, "portkey").met
    assert verdict(rows, "platform").measured == "100 x (platform: 100/s)"


def test_what_was_not_measured_has_no_row() -> None:
    assert judge(Figures("a machine", "abc", {}, 0, 5)) == []


def test_a_table() -> None:
    assert table(("", "b"), [("1", "2")]) == "|  | b |\n|---|---|\n| 1 | 2 |\n"


def test_the_page_says_everything_once() -> None:
    seen = Streams(streams=1, events=2, first_event_ms=[1.0], transit_ms=[0.5])
    whole = figures(
        start_s=[2.5],
        create_to_first_answer_s=[0.02],
        memory=Memory(74, 80),
        streams=StreamFigures({DIRECT: seen, PROVIDER_ROUTE: seen}, {DIRECT: [seen], PROVIDER_ROUTE: [seen]}),
        scaling={0: [cell(MAIN.name, NGINX, 1, 1)], 2: [cell(MAIN.name, PROVIDER_ROUTE, 15_000, 50)]},
        soak=Soak([60.0] * 60),
        others={"litellm": Other("1", "plain", OPENAI_ROUTE, cell(MAIN.name, "litellm", 70, 1), 300)},
    )
    text = page(whole)

    assert (
        text.count("| 32 connections, 16 headers, 0.1 KB up, 0.3 KB down | upstream, directly | 40,000 | 2.00 |") == 1
    )
    assert "| 2 | provider route | 32 connections, 16 headers, 0.1 KB up, 0.3 KB down | 15,000 | 50 |" in text
    assert "| litellm 1 | 70 | 1 |" in text
    assert "Commit abc. nginx 1.2.3." in text
    assert "(median of 1) | 2.5 s |" in text
    json.dumps(dataclasses.asdict(whole))

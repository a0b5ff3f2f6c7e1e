"""What Modelport wants to reach, and whether a run did. Ratios within one run, so that machines can be compared."""

import statistics
from dataclasses import dataclass

from modelport_bench.figures import (
    Cell,
    Figures,
    Soak,
    StreamFigures,
    difference,
    ratio,
    slope,
    worst_of_the_middle,
)
from modelport_bench.workload import DIRECT, MAIN, NGINX, ONE, OPENAI_ROUTE, PROVIDER_ROUTE, TITLES

MIN_OF_NGINX = {PROVIDER_ROUTE: (0.45, 0.55), OPENAI_ROUTE: (0.38, 0.45)}
MAX_CPU_OF_NGINX = {PROVIDER_ROUTE: 2.7, OPENAI_ROUTE: 3.2}
MAX_ADDED_OF_NGINX = (4.0, 2.5)
MAX_ADDED_US = 150
MAX_P99_OF_NGINX = (3.0, 2.0)
MAX_ADDED_FIRST_EVENT_MS = 3.0
MAX_START_MIB = 90
MIN_TIMES = {"litellm": 100, "portkey": 12, "platform": 80}
MAX_SOAK_MIB = 1.0
"""What counts as flat: the line through the last four fifths of the soak rises by less in all."""


@dataclass(frozen=True)
class Row:
    """One target and what was measured."""

    what: str
    target: str
    measured: str
    met: bool
    stretch: str = ""
    stretch_met: bool = False

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if not self.met:
            return "missed"
        return "met, stretch too" if self.stretch_met else "met"


def judge(figures: Figures) -> list[Row]:
    """Hold what was measured against the targets; what was not measured has no row."""
    rows: list[Row] = []
    main = {target: figures.cell(MAIN.name, target) for target in TITLES}
    one = {target: figures.cell(ONE.name, target) for target in TITLES}
    for route in (PROVIDER_ROUTE, OPENAI_ROUTE):
        if (ours := main[route]) is not None and (nginx := main[NGINX]) is not None:
            rows += _throughput(route, ours, nginx)
    for route in (PROVIDER_ROUTE, OPENAI_ROUTE):
        ours, nginx, direct = one[route], one[NGINX], one[DIRECT]
        if ours is not None and nginx is not None and direct is not None:
            rows += _latency(route, ours, nginx, direct)
    for route in (PROVIDER_ROUTE, OPENAI_ROUTE):
        if (ours := main[route]) is not None and (nginx := main[NGINX]) is not None:
            rows.append(_tail(route, ours, nginx))
    if figures.streams is not None:
        rows += _streams(figures.streams)
    if figures.memory is not None:
        start = figures.memory.start
        rows.append(Row("memory at start", f"< {MAX_START_MIB} MiB", f"{start:.0f} MiB", start < MAX_START_MIB))
    if figures.soak is not None:
        rows.append(_soak(figures.soak))
    return rows + _scaling(figures) + _others(figures)


def _throughput(route: str, ours: Cell, nginx: Cell) -> list[Row]:
    least, stretch = MIN_OF_NGINX[route]
    most = MAX_CPU_OF_NGINX[route]
    rate, cpu = ratio(ours.rates, nginx.rates), ratio(ours.cpu_us, nginx.cpu_us)
    what = f"{TITLES[route]}, 32 connections, small reply"
    return [
        Row(
            f"{what}: requests/s",
            f">= {least} of nginx's",
            f"{rate:.2f} ({statistics.median(ours.rates):,.0f}/s)",
            rate >= least,
            f"{stretch}",
            rate >= stretch,
        ),
        Row(
            f"{what}: CPU per request",
            f"<= {most} x nginx's",
            f"{cpu:.2f} x ({statistics.median(ours.cpu_us):.0f} us)",
            cpu <= most,
        ),
    ]


def _latency(route: str, ours: Cell, nginx: Cell, direct: Cell) -> list[Row]:
    added, plain = difference(ours.p50_us, direct.p50_us), difference(nginx.p50_us, direct.p50_us)
    most, stretch = MAX_ADDED_OF_NGINX
    times = added / max(plain, 1)
    return [
        Row(
            f"{TITLES[route]}, added median latency at 1 connection",
            f"<= {most:g} x what nginx adds, <= {MAX_ADDED_US / 1000} ms",
            f"{times:.1f} x, {added / 1000:.3f} ms (nginx {plain / 1000:.3f} ms)",
            times <= most and added <= MAX_ADDED_US,
            f"{stretch:g} x",
            times <= stretch,
        )
    ]


def _tail(route: str, ours: Cell, nginx: Cell) -> Row:
    mine, theirs = worst_of_the_middle(ours.p99_us), worst_of_the_middle(nginx.p99_us)
    most, stretch = MAX_P99_OF_NGINX
    times = mine / theirs
    return Row(
        f"{TITLES[route]}, p99 at 32 connections (worst of the middle three rounds)",
        f"<= {most:g} x nginx's",
        f"{times:.1f} x ({mine / 1000:.2f} ms, nginx {theirs / 1000:.2f} ms)",
        times <= most,
        f"{stretch:g} x",
        times <= stretch,
    )


def _streams(streams: StreamFigures) -> list[Row]:
    rows = []
    seen, plain = streams.steady.get(PROVIDER_ROUTE), streams.steady.get(DIRECT)
    if seen is not None and plain is not None:
        measured = f"{seen.stalled_streams} stall, {seen.lost} lost of {seen.events:,} events"
        if plain.stalls or plain.lost:
            measured += f" (void: directly {plain.stalled_streams} stall, {plain.lost} lost)"
        met = not (seen.stalls or seen.lost or plain.stalls or plain.lost)
        rows.append(Row(f"{seen.streams} event streams", "none stalls, 0 lost events", measured, met))
    ours, direct = (streams.first_event_ms(target, 0.99) for target in (PROVIDER_ROUTE, DIRECT))
    if ours and direct:
        added = difference(ours, direct)
        rows.append(
            Row(
                "added time to first event, p99 at 32 streams",
                f"<= {MAX_ADDED_FIRST_EVENT_MS:g} ms",
                f"{added:.2f} ms",
                added <= MAX_ADDED_FIRST_EVENT_MS,
            )
        )
    return rows


def _soak(soak: Soak) -> Row:
    settled = soak.rss_mib[len(soak.rss_mib) // 5 :]
    rise = slope(settled) * len(settled)
    return Row(
        f"memory over a soak of {len(soak.rss_mib) / 60:.0f} minutes",
        f"flat: rises by < {MAX_SOAK_MIB:g} MiB",
        f"{rise:+.2f} MiB, {settled[0]:.0f} to {settled[-1]:.0f} MiB",
        rise < MAX_SOAK_MIB,
    )


def _scaling(figures: Figures) -> list[Row]:
    most = max(figures.scaling, default=1)
    found = {
        number: cell
        for number, cells in figures.scaling.items()
        for cell in cells
        if (cell.case, cell.target) == (MAIN.name, PROVIDER_ROUTE)
    }
    if most == 1 or not {1, most} <= {*found}:
        return []
    times = ratio(found[most].rates, found[1].rates)
    rate = statistics.median(found[most].rates)
    what = f"{most} gateway processes, provider route, 32 connections: requests/s"
    return [Row(what, "more than of one", f"{times:.2f} x ({rate:,.0f}/s)", times > 1)]


def _others(figures: Figures) -> list[Row]:
    rows = []
    for name, other in figures.others.items():
        ours = figures.cell(MAIN.name, other.compared_with)
        if ours is None:
            continue
        rate = statistics.median(other.cell.rates)
        times, least = ratio(ours.rates, other.cell.rates), MIN_TIMES[name]
        rows.append(
            Row(
                f"{TITLES[other.compared_with]} against {name} {other.version}",
                f">= {least} x",
                f"{times:.0f} x ({name}: {rate:,.0f}/s)",
                times >= least,
            )
        )
    return rows

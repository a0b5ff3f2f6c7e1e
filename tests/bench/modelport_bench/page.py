"""The figures as Markdown."""

import statistics
from collections.abc import Sequence

from modelport_bench.figures import Cell, Figures, StreamFigures, percentile, ratio, worst_of_the_middle
from modelport_bench.targets import judge
from modelport_bench.workload import NGINX, TITLES

MARK = "<!-- figures -->"
NO_GATEWAY = "-"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows]) + "\n"


def page(figures: Figures) -> str:
    """Put everything that was measured into sections."""
    programs = ", ".join(f"{name} {version}" for name, version in figures.programs.items())
    intro = (
        f"Machine: {figures.machine}; load average before the run {figures.load_average:.1f}. "
        f"Commit {figures.commit}. {programs}.\nLoad generator, upstream, nginx and Modelport share the cores.\n"
    )
    sections = [intro, "## Targets\n\n" + targets(figures)]
    if figures.cells:
        sections.append(f"## Requests\n\n{figures.rounds} rounds in turn; medians.\n\n" + requests(figures))
    if figures.streams is not None:
        sections.append("## Event streams\n\n" + streams(figures.streams))
    if figures.scaling:
        sections.append("## Several gateway processes\n\n" + scaling(figures.scaling))
    if figures.others:
        sections.append("## Other gateways\n\n" + others(figures))
    if rest := start(figures):
        sections.append("## Start, changes, memory\n\n" + rest)
    return "\n".join(sections)


def targets(figures: Figures) -> str:
    """Hold the run against the targets."""
    rows = [(row.what, row.target, row.stretch, row.measured, row.verdict) for row in judge(figures)]
    return table(("", "target", "stretch", "measured", ""), rows)


def requests(figures: Figures) -> str:
    """List every target under every case."""
    rows = []
    for case in dict.fromkeys(cell.case for cell in figures.cells):
        base = figures.cell(case, NGINX)
        for cell in (cell for cell in figures.cells if cell.case == case):
            rows.append((case, TITLES[cell.target], *_cell(cell, base)))
    head = ("case", "", "requests/s", "of nginx", "CPU us", "of nginx", "p50 ms", "p99 ms")
    return table(head, _without_repetition(rows))


def _cell(cell: Cell, base: Cell | None) -> tuple[str, ...]:
    compared = base is not None and len(base.samples) == len(cell.samples)
    rate = ratio(cell.rates, base.rates) if base is not None and compared else None
    cpu = ratio(cell.cpu_us, base.cpu_us) if base is not None and compared and cell.cpu_us else None
    return (
        f"{statistics.median(cell.rates):,.0f}",
        "" if rate is None else f"{rate:.2f}",
        f"{statistics.median(cell.cpu_us):.0f}" if cell.cpu_us else "",
        "" if cpu is None else f"{cpu:.2f}",
        f"{statistics.median(cell.p50_us) / 1000:.3f}",
        f"{worst_of_the_middle(cell.p99_us) / 1000:.2f}",
    )


def _without_repetition(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    before = ["", *(row[0] for row in rows)]
    return [("" if row[0] == last else row[0], *row[1:]) for row, last in zip(rows, before, strict=False)]


def streams(figures: StreamFigures) -> str:
    """List the event streams by target."""
    steady = [
        (
            TITLES[target],
            f"{seen.streams}",
            f"{seen.events:,}",
            f"{seen.lost}",
            f"{seen.stalled_streams}",
            f"{seen.longest_gap_ms:.0f}",
            f"{percentile(seen.transit_ms, 0.5):.2f}",
            f"{percentile(seen.transit_ms, 0.99):.2f}",
            f"{seen.cpu_us_per_event:.0f}" if seen.cpu_us_per_event else "",
        )
        for target, seen in figures.steady.items()
    ]
    first = [
        (
            TITLES[target],
            f"{sum(len(one.first_event_ms) for one in seen)}",
            f"{statistics.median(figures.first_event_ms(target, 0.5)):.2f}",
            f"{statistics.median(figures.first_event_ms(target, 0.99)):.2f}",
        )
        for target, seen in figures.first.items()
    ]
    head = (
        "",
        "streams",
        "events",
        "lost",
        "stalled streams",
        "longest gap ms",
        "on the way p50 ms",
        "p99 ms",
        "CPU us per event",
    )
    return table(head, steady) + "\n" + table(("32 streams", "requests", "first event p50 ms", "p99 ms"), first)


def scaling(cells: dict[int, list[Cell]]) -> str:
    """List what several gateway processes answer together."""
    rows = [
        (
            f"{number or NO_GATEWAY}",
            TITLES[cell.target],
            cell.case,
            f"{statistics.median(cell.rates):,.0f}",
            f"{statistics.median(cell.cpu_us):.0f}",
        )
        for number, found in sorted(cells.items())
        for cell in found
    ]
    return table(("gateways", "", "case", "requests/s", "CPU us"), rows)


def others(figures: Figures) -> str:
    """List the other gateways and what they were set to."""
    rows = [
        (
            f"{name} {other.version}",
            f"{statistics.median(other.cell.rates):,.0f}",
            f"{statistics.median(other.cell.cpu_us):,.0f}",
            f"{statistics.median(other.cell.p50_us) / 1000:.1f}",
            f"{other.memory_mib:.0f}",
            other.configured,
        )
        for name, other in figures.others.items()
    ]
    return table(("32 connections", "requests/s", "CPU us", "p50 ms", "memory MiB", "set to"), rows)


def start(figures: Figures) -> str:
    """List start times, the way of a change, memory."""
    rows = []
    if figures.start_s:
        what = f"start of the whole stack, until it takes requests (median of {len(figures.start_s)})"
        rows.append((what, f"{statistics.median(figures.start_s):.1f} s"))
    if first := figures.create_to_first_answer_s:
        what = "`providers create` to the first answered request"
        rows.append((f"{what} (median of {len(first)})", f"{statistics.median(first) * 1000:.0f} ms"))
        rows.append((f"{what}, 99th percentile", f"{percentile(first, 0.99) * 1000:.0f} ms"))
    if figures.memory is not None:
        rows.append(("gateway's memory at start", f"{figures.memory.start:.0f} MiB"))
        rows.append(("gateway's memory at its peak over all loads", f"{figures.memory.peak:.0f} MiB"))
    return table(("", ""), rows) if rows else ""

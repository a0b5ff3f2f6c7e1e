"""Measures how fast a change reaches all of three gateways: `make bench-propagation`. About three minutes.

make bench-propagation                   idle and under a load of inference, 200 rounds each
make bench-propagation ARGS=--write      the same, and writes docs/benchmarks-propagation.md and .json
make bench-propagation ARGS="--rounds 20 --database postgresql"
"""

import argparse
import asyncio
import dataclasses
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from modelport_bench.figures import percentile
from modelport_bench.page import MARK, table
from modelport_propagation.load import PLAIN, STREAMS, Background, background
from modelport_propagation.measure import KEY, KNOWN, Times, measure
from modelport_testing.echo_provider import start_echo_provider
from modelport_testing.measured import commit, machine
from modelport_testing.whole import start_whole

ROOT = Path(__file__).resolve().parents[3]
TARGETS = {"idle": (10, 50), "under load": (None, 100)}
"""Median and 99th percentile in milliseconds that a change may take."""


@dataclass
class Figures:
    """A run."""

    machine: str
    commit: str
    database: str
    rounds: int
    load_average: float
    times: dict[str, dict[str, Times]] = field(default_factory=dict)
    """By `idle` or `under load`, then by kind of change."""
    background: Background | None = None


def run(folder: Path, figures: Figures) -> None:
    """Measure on a platform of its own in `folder`."""
    with start_echo_provider() as provider, start_whole(folder, database=figures.database, wires=False) as whole:
        urls = [gateway.url for gateway in whole.gateways]

        def measured(*, prepare: bool) -> dict[str, Times]:
            return asyncio.run(measure(whole.url, urls, provider, figures.rounds, prepare=prepare))

        figures.times["idle"] = measured(prepare=True)
        with background([gateway.port for gateway in whole.gateways], KNOWN, KEY) as figures.background:
            figures.times["under load"] = measured(prepare=False)


def page(figures: Figures) -> str:
    """Return the figures as Markdown."""
    rows = []
    for state, times in figures.times.items():
        for kind, one in times.items():
            rows.append((state, kind, str(len(one.applied)), *_row(one)))
        together = Times(
            *([value for one in times.values() for value in getattr(one, name)] for name in ("written", "applied"))
        )
        rows.append((state, "**all**", str(len(together.applied)), *_row(together)))
    assert figures.background is not None
    return (
        f"{figures.machine}; load average before the run {figures.load_average:.1f}. Commit {figures.commit}. "
        f"{figures.database}, three gateways behind the edge.\nThe load: {figures.background.requests_s:.0f} requests "
        f"answered a second ({PLAIN} clients with plain requests and {STREAMS} with event streams at each gateway), "
        f"{figures.background.failures} failed. All of it shares the machine.\n\n"
        + table(("", "change", "count", "p50 ms", "p99 ms", "longest ms", "the write itself, p50 ms"), rows)
        + "\n"
        + table(("target", "", "measured", ""), _verdicts(figures))
    )


def _row(times: Times) -> tuple[str, ...]:
    shares = (percentile(times.applied, 0.5), percentile(times.applied, 0.99), max(times.applied))
    return (*(f"{value:.1f}" for value in shares), f"{percentile(times.written, 0.5):.1f}")


def _verdicts(figures: Figures) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for state, targets in TARGETS.items():
        worst = {
            share: max(percentile(one.applied, share) for one in figures.times[state].values()) for share in (0.5, 0.99)
        }
        for share, target in zip(worst, targets, strict=True):
            if target is not None:
                verdict = "met" if worst[share] <= target else "missed"
                what = f"p{share * 100:.0f} of every kind of change, {state}"
                found.append((what, f"<= {target} ms", f"{worst[share]:.1f} ms", verdict))
    return found


def main() -> int:
    """Measure, print, and write where asked to. Exit code 1 when a target is missed."""
    parser = argparse.ArgumentParser(
        prog="make bench-propagation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks-propagation.md and .json")
    options = parser.parse_args()
    figures = Figures(machine(), commit(), options.database, options.rounds, os.getloadavg()[0])
    with tempfile.TemporaryDirectory(prefix="modelport-propagation-") as name:
        folder = Path(name)
        run(folder / "platform", figures)
    text = page(figures)
    print(text)
    if options.write:
        document = ROOT / "docs/benchmarks-propagation.md"
        document.write_text(f"{document.read_text().partition(MARK)[0]}{MARK}\n\n{text}")
        raw = json.dumps(dataclasses.asdict(figures), indent=None) + "\n"
        (ROOT / "docs/benchmarks-propagation.json").write_text(raw)
    return 0 if all(row[-1] == "met" for row in _verdicts(figures)) else 1


if __name__ == "__main__":
    sys.exit(main())

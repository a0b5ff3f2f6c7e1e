"""Measures with many providers and models: `make bench-scale`. Some ten minutes, mostly of filling databases.

make bench-scale                          50,000 providers and 200,000 models on SQLite; discovery of 500 providers
make bench-scale ARGS=--write             the same, and writes docs/scale.md and docs/scale.json
make bench-scale ARGS="--providers 5000 --database postgresql --only table"
"""

import argparse
import asyncio
import dataclasses
import json
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from modelport_bench.page import MARK, table
from modelport_scale.table import TableFigures, measure_table
from modelport_testing.many_providers import DiscoveryFigures, discover
from modelport_testing.measured import commit, machine
from modelport_testing.postgres import start_postgres

ROOT = Path(__file__).resolve().parents[3]
MODELS_EACH = 4
USED = 2000
FEW = 10
"""Providers of the small platform that a change's cost is held against."""
GOOD, SLOW, DEAD = 400, 50, 50


@dataclass
class Figures:
    """A run."""

    machine: str
    commit: str
    load_average: float
    few: TableFigures | None = None
    many: TableFigures | None = None
    discovery: DiscoveryFigures | None = None


Row = tuple[str, str, str, str]


def _table_rows(few: TableFigures, many: TableFigures) -> list[Row]:
    start = statistics.median(many.start_s)
    small, large = (statistics.median(one.change_ms) for one in (few, many))
    failed = many.known_failures + many.false_absences
    grown = many.memory_used_mib - many.memory_mib
    return [
        ("a gateway starts beside the whole table", "< 2 s", f"{start:.2f} s", _met(start < 2)),
        ("a change acts on all gateways (median of 30)", f"as with ten: {small:.1f} ms", f"{large:.1f} ms",
         _met(large < 2 * small + 5)),
        ("Redis emptied: the table is whole again", "< 60 s", f"{many.rebuild_s:.1f} s", _met(many.rebuild_s < 60)),
        (f"failures on known routes meanwhile, of {many.known_requests}; false 404s", "0; 0",
         f"{many.known_failures}; {many.false_absences}", _met(failed == 0)),
        ("memory of a gateway that has just started", f"with ten: {few.memory_mib:.0f} MiB",
         f"{many.memory_mib:.0f} MiB", _met(many.memory_mib < few.memory_mib + 10)),
        (f"more of it after {many.used:,} providers were called", "", f"{grown:.1f} MiB", ""),
        ("an empty Redis and a service that starts: the table is whole", "", f"{many.build_s:.1f} s", ""),
    ]  # fmt: skip


def _discovery_rows(found: DiscoveryFigures) -> list[Row]:
    once = found.asked["good"] == found.good
    return [
        (f"{found.good} good providers READY beside {found.slow} slow and {found.dead} dead ones", "< 10 s",
         f"{found.all_good_s:.1f} s", _met(found.all_good_s < 10)),
        ("probes of the good ones by two replicas together", str(found.good), str(found.asked["good"]), _met(once)),
        ("the slow ones READY", "", f"{found.all_slow_s:.1f} s", ""),
        ("changes of status stored by each replica", "", " and ".join(map(str, found.by_replica)), ""),
    ]  # fmt: skip


def _met(is_met: bool) -> str:
    return "met" if is_met else "missed"


def _rows(figures: Figures) -> list[Row]:
    rows = _table_rows(figures.few, figures.many) if figures.few and figures.many else []
    return rows + (_discovery_rows(figures.discovery) if figures.discovery else [])


def page(figures: Figures) -> str:
    """Return the figures as Markdown."""
    many = figures.many
    size = "" if many is None else (
        f"{many.providers:,} providers, {many.models:,} models and as many virtual models on {many.database}, "
        f"{many.providers + 2 * many.models:,} rows of the table.\n"
    )  # fmt: skip
    return (
        f"{figures.machine}; load average before the run {figures.load_average:.1f}. Commit {figures.commit}. {size}\n"
        + table(("", "target", "measured", ""), _rows(figures))
    )


def run(folder: Path, options: argparse.Namespace, figures: Figures) -> None:
    """Measure on platforms of its own in `folder`."""
    with ExitStack() as stack:
        discovers = options.only != "table"
        postgres = stack.enter_context(start_postgres()) if discovers or options.database == "postgresql" else None
        if options.only != "discovery":
            on = postgres if options.database == "postgresql" else None
            figures.few = measure_table(folder / "few", FEW, MODELS_EACH, FEW, on)
            figures.many = measure_table(folder / "many", options.providers, MODELS_EACH, USED, on)
        if discovers:
            assert postgres is not None
            figures.discovery = asyncio.run(discover(folder / "discovery", postgres, GOOD, SLOW, DEAD))


def main() -> int:
    """Measure, print, and write where asked to. Exit code 1 when a target is missed."""
    parser = argparse.ArgumentParser(
        prog="make bench-scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--providers", type=int, default=50_000, help="each has four models")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--only", choices=("table", "discovery"))
    parser.add_argument("--write", action="store_true", help="write docs/scale.md and docs/scale.json")
    options = parser.parse_args()
    figures = Figures(machine(), commit(), os.getloadavg()[0])
    with tempfile.TemporaryDirectory(prefix="modelport-scale-") as name:
        run(Path(name), options, figures)
    text = page(figures)
    print(text)
    if options.write:
        document = ROOT / "docs/scale.md"
        document.write_text(f"{document.read_text().partition(MARK)[0]}{MARK}\n\n{text}")
        (ROOT / "docs/scale.json").write_text(json.dumps(dataclasses.asdict(figures)) + "\n")
    return 0 if all(row[-1] != "missed" for row in _rows(figures)) else 1


if __name__ == "__main__":
    sys.exit(main())

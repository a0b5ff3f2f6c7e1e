"""Runs the failure matrix: `make faults`. Needs root, cc, PostgreSQL, HAProxy and Linux; about ten minutes.

make faults                              all of it
make faults ARGS="redis-killed flushall" these rows alone
make faults ARGS=--write                 all of it, and writes the table into docs/reliability.md and reliability.json
make faults ARGS=--short                 the short form of make test
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from modelport_faults.page import MARK, table
from modelport_faults.run import Outcome, from_json, play, stage, to_json
from modelport_faults.scenarios import scenarios

from modelport_testing.measured import commit, machine

ROOT = Path(__file__).resolve().parents[3]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", help="the rows to run; all without any")
    parser.add_argument("--short", action="store_true", help="as short as in make test")
    parser.add_argument("--write", action="store_true", help="write docs/reliability.md and docs/reliability.json")
    parser.add_argument("--logs", action="store_true", help="print what our processes logged, each kind of line once")
    return parser.parse_args()


def _write(outcomes: Sequence[Outcome], names: Sequence[str]) -> None:
    """Write rows into the document, in the order of `names`; rows that were not run stay as they are."""
    file, document = ROOT / "docs/reliability.json", ROOT / "docs/reliability.md"
    kept = {row["name"]: row for row in json.loads(file.read_text())} if file.exists() else {}
    kept |= {outcome.name: to_json(outcome) for outcome in outcomes}
    rows = [kept[name] for name in names if name in kept]
    file.write_text(json.dumps(rows, indent=1) + "\n")
    where = f"{machine()}. Commit {commit()}."
    text = f"{where}\n\n{table([from_json(row) for row in rows])}"
    document.write_text(f"{document.read_text().partition(MARK)[0]}{MARK}\n\n{text}")


def _print_logs(outcome: Outcome) -> None:
    for part, lines in outcome.lines.items():
        for line in lines:
            print(f"    {part}: {line}", flush=True)


def main() -> int:
    """Run what was asked for. Exit code 1 when a row failed."""
    options = _arguments()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="modelport-faults-") as name:
        folder = Path(name)
        declared = scenarios(folder / "offset")
        names = [row.name for row in declared]
        rows = [row for row in declared if not options.rows or row.name in options.rows]
        for setting in dict.fromkeys(row.setting for row in rows):
            with stage(folder / setting, setting, folder / "offset") as on:
                for row in (row for row in rows if row.setting == setting):
                    hold_s = row.short_s if options.short and row.short_s is not None else row.hold_s
                    outcomes.append(asyncio.run(play(on, row, hold_s)))
                    print(outcomes[-1], flush=True)
                    if options.write:
                        _write(outcomes, names)
                    if options.logs:
                        _print_logs(outcomes[-1])
    print(table(sorted(outcomes, key=lambda outcome: names.index(outcome.name))))
    return 0 if all(outcome.is_good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())

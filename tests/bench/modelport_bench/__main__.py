"""Measures Modelport beside nginx: `make bench`. Needs wrk, nginx and Linux; talks to loopback only.

    make bench                               requests, event streams, start: some nine minutes on a quiet machine
    make bench ARGS=--write                  the same, and writes docs/benchmarks.md and docs/benchmarks.json
    make bench ARGS=--quick                  the targets alone, under two minutes: while making something faster
    make bench ARGS="--quick --only requests"    without event streams and start: about 50 seconds
    make bench ARGS="--only soak --soak 2"   only memory under load, for two minutes (10 by default)
    make bench ARGS="--gateways 2"           also two gateway processes behind one port
    make bench ARGS="--with litellm"         also LiteLLM's proxy, or portkey, or platform; each is installed into the
                                             user's cache folder at first (MODELPORT_BENCH_CACHE)
    make bench ARGS="--json a.json"          keeps the raw figures

What is quoted are ratios within one run; read CPU per request first where others use the machine, and repeat.
"""

import argparse
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from modelport_bench import nginx, page, wrk
from modelport_bench.figures import Figures
from modelport_bench.others import KNOWN
from modelport_bench.run import MORE_PARTS, PARTS, Plan, measure
from modelport_bench.workload import ALL_CASES, DIRECT, NGINX, OPENAI_ROUTE, PROVIDER_ROUTE, QUICK_CASES, TARGETS
from modelport_testing.measured import commit, machine

ROOT = Path(__file__).resolve().parents[3]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="only what the targets need, and shorter")
    parser.add_argument("--only", choices=PARTS + MORE_PARTS, action="append", help="only this; may be given again")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gateways", type=int, metavar="N", help="also up to N gateway processes behind one port")
    parser.add_argument(
        "--soak", type=float, nargs="?", const=10, metavar="MINUTES", help="also memory under load, 10 minutes"
    )
    parser.add_argument(
        "--with", dest="others", choices=[*KNOWN], action="append", default=[], help="also this gateway; repeatable"
    )
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and docs/benchmarks.json")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw figures there")
    return parser.parse_args()


def _missing() -> str | None:
    programs = [program for program in ("wrk", "nginx") if shutil.which(program) is None]
    if programs:
        return f"{' and '.join(programs)} missing: apt-get install wrk nginx-light (Debian)"
    if not Path("/proc/self/stat").exists():
        return "processor time is read from /proc: run this on Linux"
    return None


def _version(*command: str) -> str:
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+\.\d+", said.stdout + said.stderr)
    return found[0] if found else "unknown"


def main() -> int:
    """Measure, print, and write where asked to. Exit code 1 when something could not be measured."""
    options = _arguments()
    if problem := _missing():
        print(problem, file=sys.stderr)
        return 1
    more = [part for part in MORE_PARTS if getattr(options, part) is not None]
    plan = Plan(
        parts=tuple(options.only or (*PARTS, *more)),
        rounds=options.rounds,
        seconds=(1, 1) if options.quick else (2, 1),
        targets=(DIRECT, NGINX, PROVIDER_ROUTE, OPENAI_ROUTE) if options.quick else TARGETS,
        cases=QUICK_CASES if options.quick else ALL_CASES,
        events=100 if options.quick else 200,
        first_event_rounds=min(options.rounds, 3) if options.quick else options.rounds,
        starts=1 if options.quick else 3,
        changes=20 if options.quick else 50,
        gateways=options.gateways or 2,
        soak_minutes=options.soak or 10,
        others=tuple(dict.fromkeys(options.others)),
    )
    figures = Figures(
        machine=machine(),
        commit=commit(),
        programs={"nginx": _version("nginx", "-v"), "wrk": _version("wrk", "-v")},
        load_average=os.getloadavg()[0],
        rounds=options.rounds,
    )
    started = time.monotonic()
    # Whoever ends this ends what it started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    def tell(what: str) -> None:
        print(f"{time.monotonic() - started:4.0f} s  {what}", file=sys.stderr, flush=True)

    try:
        with tempfile.TemporaryDirectory(prefix="modelport-bench-") as folder:
            measure(Path(folder), plan, figures, tell)
    except (wrk.LoadError, nginx.StartError) as error:
        print(error, file=sys.stderr)
        return 1
    tell("done")
    text = page.page(figures)
    print(text)
    raw = json.dumps(dataclasses.asdict(figures), indent=1) + "\n"
    if options.json:
        options.json.write_text(raw)
    if options.write:
        (ROOT / "docs/benchmarks.json").write_text(raw)
        document = ROOT / "docs/benchmarks.md"
        head = document.read_text().partition(page.MARK)[0]
        document.write_text(f"{head}{page.MARK}\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

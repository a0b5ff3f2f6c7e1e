"""The rounds: every target under every case, in turn, so that whatever else the machine does falls on all of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from modelport_bench import proc, wrk
from modelport_bench.figures import Cell, Sample
from modelport_bench.workload import Case


@dataclass(frozen=True)
class Target:
    """Where a load goes."""

    prefix: str
    """URL that the case's tail follows, without a slash."""
    pids: tuple[int, ...] = ()
    """The processes whose processor time is taken."""
    headers: tuple[tuple[str, str], ...] = ()
    """What its requests carry beside, or instead of, the usual headers."""
    only: Case | None = None
    """The one case it is measured under, where it is not all."""
    least_s: int = 1
    """How long a load lasts at least: what is slow needs longer for as many requests."""


def measure(
    folder: Path,
    targets: Mapping[str, Target],
    cases: Sequence[Case],
    rounds: int,
    seconds: tuple[int, int],
    tell: Callable[[str], None],
) -> list[Cell]:
    """Run all rounds. `seconds` are the lengths of one load of the main cases and of the others.

    Raises wrk.LoadError when a request is answered with anything but success.
    """
    pairs = [(case, name) for case in cases for name, target in targets.items() if target.only in (None, case)]
    cells = {(case, name): Cell(case.name, name) for case, name in pairs}
    for case, name in pairs:
        _load(folder, targets[name], case, 1)
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}")
        # Each round begins with another target: none is always the one that follows the slowest.
        names = [*targets][number % len(targets) :] + [*targets][: number % len(targets)]
        for case, name in ((case, name) for case in cases for name in names if (case, name) in cells):
            length = seconds[0] if case.main else seconds[1]
            cells[case, name].samples.append(_load(folder, targets[name], case, length))
    return [*cells.values()]


def _load(folder: Path, target: Target, case: Case, seconds: int) -> Sample:
    url = f"{target.prefix}/{case.tail}"
    parts = urlsplit(url)
    seconds = max(seconds, target.least_s)
    request = case.request(parts.netloc, parts.path, target.headers)
    pids = [*target.pids]
    before = proc.cpu_of(pids)
    load = wrk.run(folder, url, request, case.connections, seconds)
    used = proc.cpu_of(pids) - before
    return Sample(load, used / load.requests * 1_000_000 if pids else None)

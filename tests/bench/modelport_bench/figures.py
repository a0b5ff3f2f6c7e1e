"""The raw figures of a run, as they are written to JSON, and what is computed from them."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from modelport_bench.sse import Streams
from modelport_bench.wrk import Load


@dataclass(frozen=True)
class Sample:
    """One load in one round."""

    load: Load
    cpu_us: float | None
    """Processor time per request of the process measured; None for the upstream, directly."""


@dataclass
class Cell:
    """One target under one case, round by round."""

    case: str
    target: str
    samples: list[Sample] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        """Requests per second of each round."""
        return [sample.load.rate for sample in self.samples]

    @property
    def cpu_us(self) -> list[float]:
        """Processor time per request of each round, in microseconds; empty where it was not taken."""
        return [sample.cpu_us for sample in self.samples if sample.cpu_us is not None]

    @property
    def p50_us(self) -> list[float]:
        """Median latency of each round, in microseconds."""
        return [float(sample.load.p50_us) for sample in self.samples]

    @property
    def p99_us(self) -> list[float]:
        """99th percentile of each round, in microseconds."""
        return [float(sample.load.p99_us) for sample in self.samples]


@dataclass
class StreamFigures:
    """The event streams by target."""

    steady: dict[str, Streams] = field(default_factory=dict)
    """Many for long."""
    first: dict[str, list[Streams]] = field(default_factory=dict)
    """The few whose first event is timed, round by round."""

    def first_event_ms(self, target: str, share: float) -> list[float]:
        """Return a percentile of the time to the first event, of each round."""
        return [percentile(seen.first_event_ms, share) for seen in self.first.get(target, [])]


@dataclass
class Memory:
    """The gateway's resident memory, in MiB."""

    start: float
    peak: float


@dataclass
class Soak:
    """The gateway's resident memory once a second, in MiB, while it is loaded."""

    rss_mib: list[float] = field(default_factory=list)


@dataclass
class Other:
    """Another gateway measured in the same rounds."""

    version: str
    configured: str
    compared_with: str
    """Our route that does the like."""
    cell: Cell
    memory_mib: float


@dataclass
class Figures:
    """All that a run found."""

    machine: str
    commit: str
    programs: dict[str, str]
    load_average: float
    """Of the last minute when the run began: what else kept the cores busy."""
    rounds: int
    cells: list[Cell] = field(default_factory=list)
    start_s: list[float] = field(default_factory=list)
    create_to_first_answer_s: list[float] = field(default_factory=list)
    memory: Memory | None = None
    streams: StreamFigures | None = None
    scaling: dict[int, list[Cell]] = field(default_factory=dict)
    """By the number of gateway processes."""
    soak: Soak | None = None
    others: dict[str, Other] = field(default_factory=dict)

    def cell(self, case: str, target: str) -> Cell | None:
        """Find a cell; None where it was not measured."""
        return next((cell for cell in self.cells if (cell.case, cell.target) == (case, target)), None)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (0 to 1) of all are not above (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def worst_of_the_middle(values: Sequence[float]) -> float:
    """Return the worst once the best and the worst are left out: of five rounds, the worst of the middle three."""
    return sorted(values)[-2] if len(values) > 2 else max(values)


def ratio(these: Sequence[float], those: Sequence[float]) -> float:
    """Return the median of the rounds' ratios: neighbours in time are compared with each other."""
    return statistics.median(this / that for this, that in zip(these, those, strict=True))


def difference(these: Sequence[float], those: Sequence[float]) -> float:
    """Return the median of the rounds' differences."""
    return statistics.median(this - that for this, that in zip(these, those, strict=True))


def slope(values: Sequence[float]) -> float:
    """Return by how much a series rises per step: the least-squares line through it. 0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    return statistics.linear_regression(range(len(values)), values).slope

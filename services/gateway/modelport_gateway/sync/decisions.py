"""What a gateway does next for a source (docs/propagation.md, rules 12 to 14). Pure: no clock, no socket."""

from collections.abc import Iterable
from enum import Enum

from modelport_contracts.records import Source
from modelport_contracts.sync import Position
from modelport_routing import Outcome, TableState

CATCH_UP_EVERY_S = 60.0
COMPARE_EVERY_S = 3600.0
LOOK_EVERY_S = 10.0
"""How often a gateway looks whether it is time; which one acts is decided by a lock."""
FIRST_RETRY_S = 0.2
MAX_RETRY_S = 2.0


class Step(Enum):
    """What to do next for a source."""

    BEGIN_EPOCH = "begin_epoch"
    REBUILD = "rebuild"
    """A full comparison into an epoch for which the source's mark does not stand yet."""
    KEEP = "keep"
    """The table is whole; ask for changes or compare when it is time."""


def next_step(state: TableState, source: Source, confirmed_incarnation: str | None) -> Step:
    """Choose the step. `confirmed_incarnation` is what the source itself has just said, None if not asked.

    A table whose rows come from another database than the source has now is begun anew.
    """
    if state.epoch is None:
        return Step.BEGIN_EPOCH
    held = state.incarnations[source]
    if confirmed_incarnation is not None and held is not None and held != confirmed_incarnation:
        return Step.BEGIN_EPOCH
    return Step.KEEP if state.is_complete(source) else Step.REBUILD


def seen_of(state: TableState, source: Source) -> Position | None:
    """Return how far a source was seen, None where that is not known (after a FLUSHALL)."""
    seen = state.seen[source]
    return None if seen is None else Position(incarnation=seen[0], revision=seen[1])


def ends_the_attempt(outcomes: Iterable[Outcome]) -> bool:
    """Say whether a reconciliation must start over: its epoch or its source's incarnation is no longer the table's.

    All other outcomes are as good as written; what is below the floor was decided by a later reconciliation.
    """
    return any(outcome in {Outcome.NO_EPOCH, Outcome.NOT_OPEN, Outcome.OTHER_INCARNATION} for outcome in outcomes)


def retry_delay_s(failures: int, jitter: float) -> float:
    """Return the pause after so many failures in a row: doubling, at most 2 s, less up to half by `jitter` (0 to 1)."""
    longest = min(MAX_RETRY_S, FIRST_RETRY_S * 2.0 ** min(failures - 1, 10))
    return longest * (1 - jitter / 2)


def spread_s(period_s: float, jitter: float) -> float:
    """Return a period lengthened or shortened by up to a tenth, so that gateways do not act in step."""
    return period_s * (0.9 + 0.2 * jitter)

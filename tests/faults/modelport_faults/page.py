"""The outcomes as a table for docs/reliability.md."""

from collections import Counter
from collections.abc import Sequence

from modelport_faults.run import Outcome

MARK = "<!-- figures -->"
_HEAD = (
    "what happened",
    "requests on known routes",
    "failed",
    "longest",
    "false 404",
    "first requests for a provider",
    "changes meanwhile",
    "acted on by the gateways",
    "changes arrive again after",
    "all is settled after",
)


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the table."""
    lines = [f"| {' | '.join(_HEAD)} |", f"|{'---|' * len(_HEAD)}"]
    return "\n".join(lines + [f"| {' | '.join(_row(outcome))} |" for outcome in outcomes]) + "\n"


def _row(outcome: Outcome) -> tuple[str, ...]:
    failed = str(len(outcome.failed))
    if outcome.broken:
        failed += f" (and {outcome.broken} at the gateway itself)"
    return (
        f"{outcome.title} `{outcome.name}`",
        f"{outcome.answered:,}",
        failed,
        f"{outcome.longest_s:.1f} s",
        str(outcome.false_404),
        _counted(outcome.cold),
        _counted(outcome.changes + Counter({"without answer": outcome.tried - outcome.changes.total()})),
        _arrivals(outcome),
        _ended(outcome, outcome.changes_again_s),
        _ended(outcome, outcome.settled_s),
    )


def _counted(counter: Counter[str]) -> str:
    said = [f"{count} {what}" for what, count in sorted(counter.items(), key=lambda item: -item[1])]
    return ", ".join(said) or "-"


def _arrivals(outcome: Outcome) -> str:
    said = []
    if outcome.arrivals_s:
        said.append(f"within {max(outcome.arrivals_s):.2f} s")
    if outcome.unarrived:
        said.append(f"{outcome.unarrived} after its end" if outcome.arrivals_s else "after its end")
    return ", ".join(said) or "-"


def _ended(outcome: Outcome, after_s: float) -> str:
    return "**never**" if outcome.lost else f"{after_s:.1f} s"

"""What goes into the audit trail (docs/audit.md): pure functions; database/write.py and database/audit.py write it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from modelport_contracts.resources.audit import OK, Action, AuditKind
from modelport_kit.origin import Origin

LONGEST: Final = {
    "service": 32,
    "actor": 255,
    "address": 64,
    "request_id": 128,
    "action": 32,
    "kind": 32,
    "workspace": 63,
    "name": 64,
    "outcome": 64,
}
"""Characters of what a row says in words."""


@dataclass(frozen=True, slots=True)
class Event:
    """What was done, or tried, to one thing."""

    action: Action
    kind: AuditKind
    workspace: str | None
    name: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    outcome: str = OK


def audit_row(event: Event, service: str, origin: Origin, moment: datetime) -> dict[str, Any]:
    """Build an event's row; `moment` is naive UTC.

    Names may be anything where somebody only tried: they are cut to what a column holds.
    """
    texts = {
        "service": service,
        "actor": origin.actor,
        "address": origin.address,
        "request_id": origin.request_id,
        "action": event.action,
        "kind": event.kind,
        "workspace": event.workspace,
        "name": event.name,
        "outcome": event.outcome,
    }
    cut = {column: text if text is None else text[: LONGEST[column]] for column, text in texts.items()}
    return {"created_at": moment, **cut, "before": event.before, "after": event.after}


Shown = Mapping[str, Callable[[Any], Any]]
"""Which members of a kind the trail shows, and how: none that is not named here is ever in it."""


def in_full(value: Any) -> Any:
    """Show a value that cannot hold a key."""
    return value


def names_only(value: Any) -> Any:
    """Show of a value that may hold a key no more than the names of its members, or that it is set."""
    if isinstance(value, Mapping):
        return sorted(value)
    return f"{len(value)} items" if isinstance(value, list) else "set"


def picture(row: Mapping[str, Any], shown: Shown) -> dict[str, Any]:
    """Return what the trail shows of a thing that was made or removed."""
    return {name: show(row[name]) for name, show in shown.items() if row.get(name) is not None}


def difference(
    before: Mapping[str, Any], after: Mapping[str, Any], shown: Shown
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the trail shows of a change: the members that differ, those too whose values it does not show."""
    changed = [name for name in shown if before.get(name) != after.get(name)]

    def side(row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: None if row.get(name) is None else shown[name](row[name]) for name in changed}

    return side(before), side(after)

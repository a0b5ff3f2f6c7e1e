"""Who asks for what is being done, and from where: for the audit trail (docs/audit.md)."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from."""

    actor: str | None = None
    """The caller's name by its service token; None for a caller that nobody knows."""
    address: str | None = None
    """The client's, as the front door saw it; of a caller that came by itself its own."""
    request_id: str | None = None


_current: ContextVar[Origin | None] = ContextVar("origin", default=None)


def set_origin(origin: Origin) -> None:
    """Note where the request that this task serves comes from."""
    _current.set(origin)


def origin_or_own(service: str) -> Origin:
    """Return where the request that this task serves comes from; outside of any the service acts by itself."""
    return _current.get() or Origin(actor=service)

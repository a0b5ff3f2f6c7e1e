"""The audit trail: every change and every reveal of a secret, append-only (docs/audit.md)."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

Action = Literal["create", "update", "delete", "status", "reveal", "rotate"]
AuditKind = Literal["workspace", "secret", "provider", "model", "virtual-model", "encryption-key"]
OK = "ok"
"""The outcome of what was done; of a reveal that was not, the error's code."""


class AuditEvent(BaseModel):
    """One event. No value of a secret, a header or an extra body is ever in it."""

    id: int
    """Counts up within the service."""
    service: str
    created_at: datetime
    actor: str | None = None
    """The calling part of Modelport, by its service token: `front-door` for all that clients ask; the service's own
    name for what it does by itself; none for a caller that nobody knows."""
    on_behalf_of: str | None = None
    """The user or API key; none while the platform knows no users."""
    address: str | None = None
    """The client's, as the front door saw it; of a caller that came by itself its own."""
    request_id: str | None = None
    action: str
    kind: str
    workspace: str | None = None
    name: str
    outcome: str
    """`ok`, or the code of the error that a reveal was refused with."""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    """What was there before and what is there after: of an update what differs. Of members whose values may hold keys
    the names alone; of a secret its version."""

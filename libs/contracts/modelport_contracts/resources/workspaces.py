"""Workspaces: what every other resource lives in."""

from datetime import datetime

from pydantic import BaseModel, Field

from modelport_contracts.json_values import RequestBody
from modelport_contracts.names import Name

BUILT_IN_WORKSPACES = ("default", "system")
"""Exist from the start and cannot be deleted."""

MAX_DESCRIPTION = 4096


class Workspace(BaseModel):
    """A workspace."""

    id: str
    name: str
    description: str | None = None
    created_at: datetime
    created_by: str | None = None
    updated_at: datetime
    updated_by: str | None = None


class WorkspaceCreate(RequestBody):
    """Body of POST."""

    name: Name
    description: str | None = Field(default=None, max_length=MAX_DESCRIPTION)


class WorkspaceUpdate(RequestBody):
    """Body of PUT."""

    description: str | None = Field(default=None, max_length=MAX_DESCRIPTION)


class WorkspaceDeleted(BaseModel):
    """Reply to DELETE, which for workspaces has a body."""

    id: str
    message: str

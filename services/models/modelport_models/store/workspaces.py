"""Workspaces in SQL."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, insert, select, true, update
from sqlalchemy.exc import IntegrityError

from modelport_contracts.names import new_id
from modelport_contracts.pages import Pagination
from modelport_contracts.records import record_key
from modelport_contracts.resources.audit import AuditKind
from modelport_contracts.resources.providers import ProviderStatus
from modelport_contracts.resources.secrets import BUILT_IN_SECRET
from modelport_contracts.resources.workspaces import BUILT_IN_WORKSPACES, Workspace
from modelport_kit.database.engine import Database
from modelport_kit.database.query import fetch_page
from modelport_kit.database.write import WriteTransaction
from modelport_kit.errors import AlreadyExistsError, ForbiddenError, NotFoundError
from modelport_kit.lists import PageRequest
from modelport_models.domain import audited
from modelport_models.domain.records import provider_record, workspace_record
from modelport_models.store.common import CHUNK, Row, all_rows, like_columns, lock_workspace, need, need_workspace
from modelport_models.tables import MODEL, PROVIDER, SERVED, VIRTUAL_MODEL, WORKSPACE

_FIELDS = like_columns(WORKSPACE, "id", "name", "description", "created_at", "updated_at", "created_by")
_BUILT_IN_PROVIDER = {
    "workspace": "system",
    "name": "nvidia-build",
    "host_url": "https://integrate.api.nvidia.com",
    "api_key_secret_name": BUILT_IN_SECRET[1],
    "description": "NVIDIA Build. Built in; it is READY once the platform was started with NGC_API_KEY.",
}


class WorkspaceStore:
    """Workspaces, and what exists from the first start."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def ensure_built_in(self) -> None:
        """Make the built-in workspaces and, the first time, the built-in provider."""
        try:
            await self._make_built_in()
        except IntegrityError:  # another replica did at the same moment
            await self._make_built_in()

    async def _make_built_in(self) -> None:
        async with self._database.write() as write:
            known = set((await write.execute(select(WORKSPACE.c.name))).scalars())
            for name in BUILT_IN_WORKSPACES:
                if name not in known:
                    await self._insert(write, name, None)
            if "system" not in known:
                moment = self._now()
                row = {
                    **_BUILT_IN_PROVIDER,
                    "id": new_id("model-provider"),
                    "status": ProviderStatus.CREATED.value,
                    "generation": 1,
                    "created_at": moment,
                    "updated_at": moment,
                }
                await write.execute(insert(PROVIDER).values(row))
                stored = await need(write.connection, PROVIDER, "provider", "system", "nvidia-build")
                key = record_key("provider", stored["workspace"], stored["name"])
                write.put(key, *provider_record(stored), row=(PROVIDER, stored["id"]))
                write.tell(audited.created("provider", stored))

    async def _insert(self, write: WriteTransaction, name: str, description: str | None) -> dict[str, Any]:
        moment = self._now()
        row: dict[str, Any] = {
            "id": new_id("workspace"),
            "name": name,
            "description": description,
            "created_at": moment,
            "updated_at": moment,
        }
        await write.execute(insert(WORKSPACE).values(row))
        write.put(record_key("workspace", name, name), *workspace_record(row), row=(WORKSPACE, row["id"]))
        write.tell(audited.created("workspace", row))
        return row

    async def create(self, name: str, description: str | None) -> tuple[Workspace, int]:
        """Make a workspace. Raises AlreadyExistsError."""
        try:
            async with self._database.write() as write:
                row = await self._insert(write, name, description)
        except IntegrityError:
            raise AlreadyExistsError("workspace", name, "PUT") from None
        return Workspace.model_validate(row), write.revision

    async def get(self, name: str) -> tuple[Workspace, int]:
        """Return a workspace and its revision. Raises NotFoundError."""
        rows = await self._database.fetch(select(WORKSPACE).where(WORKSPACE.c.name == name))
        if not rows:
            raise NotFoundError("workspace", name)
        row = dict(rows[0]._mapping)
        return Workspace.model_validate(row), row["revision"]

    async def list(self, request: PageRequest) -> tuple[list[Workspace], Pagination]:
        """Return a page of the workspaces."""
        async with self._database.read() as connection:
            rows, position = await fetch_page(
                connection, select(WORKSPACE), request, filterable=_FIELDS, sortable=_FIELDS, tie=WORKSPACE.c.id
            )
        return [Workspace.model_validate(dict(row._mapping)) for row in rows], position

    async def update(self, name: str, description: str | None) -> tuple[Workspace, int]:
        """Change a workspace's description. Raises NotFoundError."""
        async with self._database.write() as write:
            before = await lock_workspace(write.connection, name)
            values = {"description": description, "updated_at": self._now()}
            await write.execute(update(WORKSPACE).where(WORKSPACE.c.name == name).values(values))
            row = await need_workspace(write.connection, name)
            write.tell(audited.updated("workspace", before, row))
        return Workspace.model_validate(row), row["revision"]

    async def delete(self, name: str) -> tuple[str, int]:
        """Remove a workspace and everything in it; returns its id. Raises NotFoundError, ForbiddenError."""
        if name in BUILT_IN_WORKSPACES:
            raise ForbiddenError(f"workspace {name} is built in and cannot be deleted")
        async with self._database.write() as write:
            row = await lock_workspace(write.connection, name)
            await _tell_removal(write, row)
            for table, kind in ((VIRTUAL_MODEL, "virtual-model"), (MODEL, "model"), (PROVIDER, "provider")):
                if table is PROVIDER:
                    await write.execute(delete(SERVED).where(SERVED.c.workspace == name))
                removed = await write.execute(delete(table).where(table.c.workspace == name).returning(table.c.name))
                for resource in removed.scalars():
                    write.delete(record_key(kind, name, resource))  # type: ignore[arg-type]
            await write.execute(delete(WORKSPACE).where(WORKSPACE.c.id == row["id"]))
            write.delete(record_key("workspace", name, name))
        return row["id"], write.revision


async def _tell_removal(write: WriteTransaction, workspace: Row) -> None:
    """Tell of the workspace and of all in it that somebody made: whoever looks for a provider finds its end."""
    made: tuple[tuple[Table, AuditKind, ColumnElement[bool]], ...] = (
        (VIRTUAL_MODEL, "virtual-model", VIRTUAL_MODEL.c.autoprovisioned.is_(False)),
        (MODEL, "model", MODEL.c.discovered.is_(False)),
        (PROVIDER, "provider", true()),
    )
    for table, kind, by_somebody in made:
        statement = select(table).where(table.c.workspace == workspace["name"], by_somebody).order_by(table.c.name)
        last: str | None = ""
        while last is not None:  # in parts: no statement occupies the loop for long
            rows = all_rows(await write.execute(statement.where(table.c.name > last).limit(CHUNK)))
            for row in rows:
                write.tell(audited.deleted(kind, row))
            last = rows[-1]["name"] if len(rows) == CHUNK else None
    write.tell(audited.deleted("workspace", workspace))

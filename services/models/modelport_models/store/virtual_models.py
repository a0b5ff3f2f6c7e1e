"""Virtual models in SQL."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, update
from sqlalchemy.exc import IntegrityError

from modelport_contracts.names import new_id
from modelport_contracts.pages import Pagination
from modelport_contracts.records import record_key
from modelport_contracts.resources.virtual_models import VirtualModel, VirtualModelCreate, VirtualModelUpdate
from modelport_kit.database.engine import Database
from modelport_kit.database.query import fetch_page
from modelport_kit.errors import AlreadyExistsError
from modelport_kit.lists import PageRequest
from modelport_models.domain import audited
from modelport_models.domain.records import virtual_model_record
from modelport_models.store.catalog import follow
from modelport_models.store.common import Row, find, in_workspace, like_columns, lock_workspace, need
from modelport_models.tables import VIRTUAL_MODEL

_FIELDS = like_columns(
    VIRTUAL_MODEL, "id", "name", "workspace", "project", "default_model_entity", "autoprovisioned",
    "created_at", "updated_at",
)  # fmt: skip


class VirtualModelStore:
    """Virtual models. Discovery keeps one per served entity; one that a user made or changed is the user's."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def create(self, workspace: str, body: VirtualModelCreate) -> tuple[VirtualModel, int]:
        """Make a virtual model; it takes the place of an autoprovisioned one. Raises AlreadyExistsError."""
        moment = self._now()
        row: dict[str, Any] = {
            **body.model_dump(mode="json"),
            "id": new_id("virtual-model"),
            "workspace": workspace,
            "autoprovisioned": False,
            "created_at": moment,
            "updated_at": moment,
        }
        conflict = AlreadyExistsError("virtual model", f"{workspace}/{body.name}", "PATCH")
        try:
            async with self._database.write() as write:
                await lock_workspace(write.connection, workspace)
                known = await find(write.connection, VIRTUAL_MODEL, workspace, body.name)
                if known is not None:
                    if not known["autoprovisioned"]:
                        raise conflict
                    await write.execute(delete(VIRTUAL_MODEL).where(VIRTUAL_MODEL.c.id == known["id"]))
                await write.execute(insert(VIRTUAL_MODEL).values(row))
                key = record_key("virtual-model", workspace, body.name)
                write.put(key, *virtual_model_record(row), row=(VIRTUAL_MODEL, row["id"]))
                write.tell(audited.created("virtual-model", row))
        except IntegrityError:
            raise conflict from None
        return _virtual_model(row), write.revision

    async def get(self, workspace: str, name: str) -> tuple[VirtualModel, int]:
        """Return a virtual model and its revision. Raises NotFoundError."""
        async with self._database.read() as connection:
            row = await need(connection, VIRTUAL_MODEL, "virtual model", workspace, name)
        return _virtual_model(row), row["revision"]

    async def list(
        self, workspace: str, request: PageRequest, *, exclude_autoprovisioned: bool
    ) -> tuple[list[VirtualModel], Pagination]:
        """Return a page of a workspace's virtual models, or of all workspaces'. Raises NotFoundError."""
        async with self._database.read() as connection:
            statement = await in_workspace(connection, VIRTUAL_MODEL, workspace)
            if exclude_autoprovisioned:
                statement = statement.where(VIRTUAL_MODEL.c.autoprovisioned.is_(False))
            rows, position = await fetch_page(
                connection, statement, request, filterable=_FIELDS, sortable=_FIELDS, tie=VIRTUAL_MODEL.c.id
            )
        return [_virtual_model(dict(row._mapping)) for row in rows], position

    async def update(self, workspace: str, name: str, body: VirtualModelUpdate) -> tuple[VirtualModel, int]:
        """Change what the body names; if that is anything, the virtual model is a user's from then on.

        Raises NotFoundError.
        """
        async with self._database.write() as write:
            await lock_workspace(write.connection, workspace)
            before = row = await need(write.connection, VIRTUAL_MODEL, "virtual model", workspace, name)
            named = body.model_dump(mode="json", exclude_unset=True)
            if not named:
                return _virtual_model(row), row["revision"]
            values = {**named, "autoprovisioned": False, "updated_at": self._now()}
            await write.execute(update(VIRTUAL_MODEL).where(VIRTUAL_MODEL.c.id == row["id"]).values(values))
            row = await need(write.connection, VIRTUAL_MODEL, "virtual model", workspace, name)
            key = record_key("virtual-model", workspace, name)
            write.put(key, *virtual_model_record(row), row=(VIRTUAL_MODEL, row["id"]))
            write.tell(audited.updated("virtual-model", before, row))
        return _virtual_model(row), write.revision

    async def delete(self, workspace: str, name: str) -> int:
        """Remove a virtual model; a served entity of that name gets its autoprovisioned one back.

        Raises NotFoundError.
        """
        async with self._database.write() as write:
            await lock_workspace(write.connection, workspace)
            row = await need(write.connection, VIRTUAL_MODEL, "virtual model", workspace, name)
            await write.execute(delete(VIRTUAL_MODEL).where(VIRTUAL_MODEL.c.id == row["id"]))
            write.delete(record_key("virtual-model", workspace, name))
            await follow(write, workspace, [name], self._now())
            write.tell(audited.deleted("virtual-model", row))
        return write.revision


def _virtual_model(row: Row) -> VirtualModel:
    return VirtualModel.model_validate({**row, "entity_id": row["id"]})

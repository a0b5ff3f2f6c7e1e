"""Model entities in SQL."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from modelport_contracts.names import new_id
from modelport_contracts.pages import Pagination
from modelport_contracts.records import record_key
from modelport_contracts.resources.models import Model, ModelCreate, ModelUpdate
from modelport_kit.database.engine import Database
from modelport_kit.database.query import fetch_page
from modelport_kit.errors import AlreadyExistsError, ConflictError
from modelport_kit.lists import PageRequest
from modelport_models.domain import audited
from modelport_models.domain.records import model_record
from modelport_models.store.common import Row, in_workspace, like_columns, lock_workspace, need, served_by
from modelport_models.tables import MODEL

_FIELDS = like_columns(
    MODEL, "id", "name", "workspace", "project", "description", "base_model", "backend_format", "finetuning_type",
    "fileset", "trust_remote_code", "created_at", "updated_at",
)  # fmt: skip


class ModelStore:
    """Model entities: discovery makes most of them, users may make and describe them."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def create(self, workspace: str, body: ModelCreate) -> tuple[Model, int]:
        """Make a model entity. Raises NotFoundError for the workspace, AlreadyExistsError."""
        moment = self._now()
        row: dict[str, Any] = {
            **body.model_dump(mode="json"),
            "id": new_id("model"),
            "workspace": workspace,
            "discovered": False,
            "created_at": moment,
            "updated_at": moment,
        }
        try:
            async with self._database.write() as write:
                await lock_workspace(write.connection, workspace)
                await write.execute(insert(MODEL).values(row))
                write.put(record_key("model", workspace, body.name), *model_record(row, ()), row=(MODEL, row["id"]))
                write.tell(audited.created("model", row))
        except IntegrityError:
            raise AlreadyExistsError("model", f"{workspace}/{body.name}", "PATCH") from None
        return Model.model_validate(row), write.revision

    async def get(self, workspace: str, name: str) -> tuple[Model, int]:
        """Return a model entity and its revision. Raises NotFoundError."""
        async with self._database.read() as connection:
            row = await need(connection, MODEL, "model", workspace, name)
            return (await _with_providers(connection, [row]))[0], row["revision"]

    async def list(self, workspace: str, request: PageRequest) -> tuple[list[Model], Pagination]:
        """Return a page of a workspace's models, or of all workspaces'. Raises NotFoundError."""
        async with self._database.read() as connection:
            statement = await in_workspace(connection, MODEL, workspace)
            rows, position = await fetch_page(
                connection, statement, request, filterable=_FIELDS, sortable=_FIELDS, tie=MODEL.c.id
            )
            return await _with_providers(connection, [dict(row._mapping) for row in rows]), position

    async def update(self, workspace: str, name: str, body: ModelUpdate) -> tuple[Model, int]:
        """Change what the body names; if that is anything, the entity is a user's from then on.

        Raises NotFoundError.
        """
        async with self._database.write() as write:
            await lock_workspace(write.connection, workspace)
            before = row = await need(write.connection, MODEL, "model", workspace, name)
            named = body.model_dump(mode="json", exclude_unset=True)
            if not named:
                return (await _with_providers(write.connection, [row]))[0], row["revision"]
            values = {**named, "discovered": False, "updated_at": self._now()}
            await write.execute(update(MODEL).where(MODEL.c.id == row["id"]).values(values))
            row = await need(write.connection, MODEL, "model", workspace, name)
            serving = await served_by(write.connection, [(workspace, name)])
            rendered = model_record(row, serving.get((workspace, name), ()))
            write.put(record_key("model", workspace, name), *rendered, row=(MODEL, row["id"]))
            write.tell(audited.updated("model", before, row))
            model = (await _with_providers(write.connection, [row]))[0]
        return model, write.revision

    async def delete(self, workspace: str, name: str) -> int:
        """Remove a model entity that nobody serves. Raises NotFoundError, ConflictError."""
        async with self._database.write() as write:
            await lock_workspace(write.connection, workspace)
            row = await need(write.connection, MODEL, "model", workspace, name)
            serving = await served_by(write.connection, [(workspace, name)])
            if providers := sorted({provider for provider, _ in serving.get((workspace, name), ())}):
                raise ConflictError(
                    f"model {workspace}/{name} is served by {', '.join(providers)}; take it out of enabled_models "
                    "there, or delete the provider",
                    code="model_is_served",
                )
            await write.execute(delete(MODEL).where(MODEL.c.id == row["id"]))
            write.delete(record_key("model", workspace, name))
            write.tell(audited.deleted("model", row))
        return write.revision


async def _with_providers(connection: AsyncConnection, rows: Iterable[Row]) -> list[Model]:
    rows = list(rows)
    serving = await served_by(connection, ((row["workspace"], row["name"]) for row in rows))
    return [
        Model.model_validate(
            {
                **row,
                "model_providers": [
                    f"{row['workspace']}/{provider}"
                    for provider in dict.fromkeys(name for name, _ in serving.get((row["workspace"], row["name"]), ()))
                ],
            }
        )
        for row in rows
    ]

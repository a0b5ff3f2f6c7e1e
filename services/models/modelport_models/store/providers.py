"""Providers in SQL."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from modelport_contracts.names import MAX_MODEL_ID, NAME_RULE, is_name, new_id
from modelport_contracts.pages import Pagination
from modelport_contracts.records import record_key
from modelport_contracts.resources.providers import (
    Provider,
    ProviderCreate,
    ProviderStatus,
    ProviderStatusUpdate,
    ProviderUpdate,
    ServedModel,
)
from modelport_kit.database.engine import Database
from modelport_kit.database.query import fetch_page
from modelport_kit.database.write import WriteTransaction
from modelport_kit.errors import AlreadyExistsError, UnprocessableError
from modelport_kit.lists import PageRequest
from modelport_models.domain import audited
from modelport_models.domain.records import provider_record, unix_seconds
from modelport_models.domain.served import MAX_SERVED, is_served_id, left_out_note
from modelport_models.store.catalog import follow, replace_served
from modelport_models.store.common import Row, chunks, find, in_workspace, like_columns, lock_workspace, need
from modelport_models.tables import PROVIDER, SERVED

STATUS_STAYS_S = 5.0
"""What a user sets stands for at least this long before a probe may say otherwise."""

_SORTABLE = like_columns(PROVIDER, "name", "created_at", "updated_at", "status")
_FILTERABLE = like_columns(
    PROVIDER,
    "id", "name", "workspace", "project", "description", "host_url", "api_key_secret_name", "status",
    "status_message", "auth_header_format", "model_deployment_id", "created_at", "updated_at",
)  # fmt: skip


class ProviderStore:
    """Providers and the models they serve."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def create(self, workspace: str, body: ProviderCreate) -> tuple[Provider, int]:
        """Register a provider. Raises NotFoundError for the workspace, AlreadyExistsError."""
        try:
            async with self._database.write() as write:
                await lock_workspace(write.connection, workspace)
                provider = await self._insert(write, workspace, body.name, body)
        except IntegrityError:
            raise AlreadyExistsError("provider", f"{workspace}/{body.name}", "PUT") from None
        return provider, write.revision

    async def _insert(self, write: WriteTransaction, workspace: str, name: str, body: ProviderUpdate) -> Provider:
        moment = self._now()
        row = {
            **_columns(body),
            "id": new_id("model-provider"),
            "workspace": workspace,
            "name": name,
            "status": ProviderStatus.CREATED.value,
            "created_at": moment,
            "updated_at": moment,
        }
        await write.execute(insert(PROVIDER).values(row))
        write.tell(audited.created("provider", row))
        return (await self._publish(write, workspace, name))[0]

    async def _publish(self, write: WriteTransaction, workspace: str, name: str) -> tuple[Provider, Row]:
        row = await need(write.connection, PROVIDER, "provider", workspace, name)
        write.put(record_key("provider", workspace, name), *provider_record(row), row=(PROVIDER, row["id"]))
        return (await _with_served(write.connection, [row]))[0], row

    async def get(self, workspace: str, name: str) -> tuple[Provider, int]:
        """Return a provider and its revision. Raises NotFoundError."""
        async with self._database.read() as connection:
            row = await need(connection, PROVIDER, "provider", workspace, name)
            return (await _with_served(connection, [row]))[0], row["revision"]

    async def list(self, workspace: str, request: PageRequest) -> tuple[list[Provider], Pagination]:
        """Return a page of a workspace's providers, or of all workspaces'. Raises NotFoundError."""
        async with self._database.read() as connection:
            statement = await in_workspace(connection, PROVIDER, workspace)
            rows, position = await fetch_page(
                connection, statement, request, filterable=_FILTERABLE, sortable=_SORTABLE, tie=PROVIDER.c.id
            )
            return await _with_served(connection, [dict(row._mapping) for row in rows]), position

    async def replace(self, workspace: str, name: str, body: ProviderUpdate) -> tuple[Provider, int, bool]:
        """Replace a provider, or register it; says whether it was new.

        Status and served models stay; `options` stays where the body does not name it.
        """
        async with self._database.write() as write:
            await lock_workspace(write.connection, workspace)
            row = await find(write.connection, PROVIDER, workspace, name)
            if row is None:
                provider = await self._insert(write, workspace, name, body)
            else:
                provider = await self._overwrite(write, row, body)
        return provider, write.revision, row is None

    async def _overwrite(self, write: WriteTransaction, row: Row, body: ProviderUpdate) -> Provider:
        values = _columns(body)
        if "options" not in body.model_fields_set:
            del values["options"]
        values |= {
            "updated_at": self._now(),
            "generation": row["generation"] + 1,
            "next_probe_at": 0,
            "probe_claimed_until": 0,
            "probe_failures": 0,
            "failing_since": None,
        }
        await write.execute(update(PROVIDER).where(PROVIDER.c.id == row["id"]).values(values))
        provider, after = await self._publish(write, row["workspace"], row["name"])
        write.tell(audited.updated("provider", row, after))
        return provider

    async def set_status(self, workspace: str, name: str, body: ProviderStatusUpdate) -> tuple[Provider, int]:
        """Set what the body names of status, message and served models. Raises NotFoundError."""
        entities = _entities(workspace, body.served_models) if body.served_models is not None else None
        async with self._database.write() as write:
            await lock_workspace(write.connection, workspace)
            row = await need(write.connection, PROVIDER, "provider", workspace, name)
            named = body.model_dump(include={"status", "status_message", "model_deployment_id"}, exclude_none=True)
            moment = self._now()
            values = {
                **named,
                "updated_at": moment,
                # what a probe under way finds out is older than this
                "generation": row["generation"] + 1,
                "next_probe_at": max(row["next_probe_at"], unix_seconds(moment) + STATUS_STAYS_S),
                "probe_claimed_until": 0,
            }
            await write.execute(update(PROVIDER).where(PROVIDER.c.id == row["id"]).values(values))
            served = await _count_served(write.connection, row["id"])
            if entities is not None:
                await replace_served(write, row["id"], workspace, entities, self._now())
            provider, after = await self._publish(write, workspace, name)
            after = {**after, "served_models": served if entities is None else len(entities)}
            write.tell(audited.updated("provider", {**row, "served_models": served}, after, "status"))
        return provider, write.revision

    async def delete(self, workspace: str, name: str) -> int:
        """Remove a provider; what only it served goes with it. Raises NotFoundError."""
        async with self._database.write() as write:
            await lock_workspace(write.connection, workspace)
            row = await need(write.connection, PROVIDER, "provider", workspace, name)
            removed = await write.execute(
                delete(SERVED).where(SERVED.c.provider_id == row["id"]).returning(SERVED.c.entity)
            )
            entities = set(removed.scalars())
            await write.execute(delete(PROVIDER).where(PROVIDER.c.id == row["id"]))
            write.delete(record_key("provider", workspace, name))
            await follow(write, workspace, entities, self._now())
            write.tell(audited.deleted("provider", row))
        return write.revision


def _columns(body: ProviderUpdate) -> dict[str, Any]:
    return body.model_dump(mode="json", exclude={"name"})


async def _count_served(connection: AsyncConnection, provider_id: str) -> int:
    statement = select(func.count()).select_from(SERVED).where(SERVED.c.provider_id == provider_id)
    return int((await connection.execute(statement)).scalar_one())


def _entities(workspace: str, served: list[ServedModel]) -> dict[str, str]:
    if len(served) > MAX_SERVED:
        raise UnprocessableError(("body", "served_models"), f"at most {MAX_SERVED} models")
    entities: dict[str, str] = {}
    for position, item in enumerate(served):
        owner, _, name = item.model_entity_id.partition("/")
        if owner != workspace or not is_name(name):
            raise UnprocessableError(
                ("body", "served_models", position, "model_entity_id"),
                f"must be {workspace}/<entity name>; a name has {NAME_RULE}",
            )
        if not is_served_id(item.served_model_name):
            raise UnprocessableError(
                ("body", "served_models", position, "served_model_name"),
                f"must be 1 to {MAX_MODEL_ID} printable characters",
            )
        entities[item.served_model_name] = name
    return entities


async def _with_served(connection: AsyncConnection, rows: Iterable[Row]) -> list[Provider]:
    rows = list(rows)
    served: dict[str, list[ServedModel]] = {}
    left_out: dict[str, list[str]] = {}
    for chunk in chunks(row["id"] for row in rows):
        statement = select(SERVED).where(SERVED.c.provider_id.in_(chunk)).order_by(SERVED.c.served_id)
        for item in await connection.execute(statement):
            served.setdefault(item.provider_id, []).append(
                ServedModel(model_entity_id=f"{item.workspace}/{item.entity}", served_model_name=item.served_id)
            )
            if item.left_out:
                left_out.setdefault(item.provider_id, []).append(item.entity)
    found = []
    for row in rows:
        message = "; ".join(filter(None, (row["status_message"], left_out_note(left_out.get(row["id"], ())))))
        members = {**row, "status_message": message, "served_models": served.get(row["id"], [])}
        found.append(Provider.model_validate(members))
    return found

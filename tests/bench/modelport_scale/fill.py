"""A database of the models service with many providers and models in it, as an import would leave it."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Table, insert, update

from modelport_contracts.names import new_id
from modelport_kit.database.engine import Database
from modelport_kit.database.migrate import prepare
from modelport_kit.database.tables import REVISION
from modelport_kit.database.write import WriteTransaction
from modelport_models.app import MIGRATIONS
from modelport_models.store import Stores
from modelport_models.tables import MODEL, PROVIDER, SERVED, VIRTUAL_MODEL, WORKSPACE

PER_WORKSPACE = 1000
"""Providers in one workspace; a workspace is filled in one transaction."""
_ROWS = 1000
NOT_PROBED_S = 86400.0
"""Nobody is probed here for so long. The service's interval must be no shorter: what is to come much later than that
was planned before the clock was set back, and is due at once."""


def provider_name(number: int) -> str:
    """Name a provider of a workspace."""
    return f"provider-{number}"


def workspace_name(number: int) -> str:
    """Name a workspace."""
    return f"team-{number}"


async def fill(url: str, providers: int, models_each: int, host_url: str) -> None:
    """Put providers with models of their own, each with its virtual model, into a database that is empty or missing."""
    await prepare(url, "models", MIGRATIONS, migrate_now=True)
    database = Database(url, "models")
    try:
        await Stores(database, _now).workspaces.ensure_built_in()
        for position, start in enumerate(range(0, providers, PER_WORKSPACE)):
            async with database.write() as write:
                count = min(PER_WORKSPACE, providers - start)
                await _workspace(write, workspace_name(position), count, models_each, host_url)
        async with database.write() as write:
            await write.execute(update(REVISION).values(pruned_through=REVISION.c.n))
            # the built-in provider is not asked either
            await write.execute(update(PROVIDER).values(next_probe_at=time.time() + NOT_PROBED_S))
    finally:
        await database.close()


async def _workspace(write: WriteTransaction, name: str, providers: int, models_each: int, host_url: str) -> None:
    common = {"workspace": name, "created_at": _now(), "updated_at": _now(), "revision": await write.take_revision()}
    own = {"id": new_id("workspace"), "name": name, "description": None}
    await write.execute(insert(WORKSPACE).values({**own, **_without(common, "workspace")}))
    ids = [new_id("model-provider") for _ in range(providers)]
    status = {"host_url": host_url, "status": "READY", "next_probe_at": time.time() + NOT_PROBED_S}
    await _insert(
        write, PROVIDER, ({**common, **status, "id": ids[at], "name": provider_name(at)} for at in range(providers))
    )
    served = [(at, f"model-{at}-{model}") for at in range(providers) for model in range(models_each)]
    await _insert(
        write,
        MODEL,
        (
            {**common, "id": new_id("model"), "name": entity, "backend_format": "OPENAI_CHAT", "discovered": True}
            for _, entity in served
        ),
    )
    await _insert(
        write,
        SERVED,
        ({"provider_id": ids[at], "served_id": entity, "workspace": name, "entity": entity} for at, entity in served),
    )
    await _insert(
        write,
        VIRTUAL_MODEL,
        (
            {
                **common,
                "id": new_id("virtual-model"),
                "name": entity,
                "default_model_entity": f"{name}/{entity}",
                "models": [{"model": f"{name}/{entity}"}],
                "autoprovisioned": True,
            }
            for _, entity in served
        ),
    )


async def _insert(write: WriteTransaction, table: Table, rows: Iterator[dict[str, Any]]) -> None:
    part: list[dict[str, Any]] = []
    for row in rows:
        part.append(row)
        if len(part) == _ROWS:
            await write.execute(insert(table), part)
            part = []
    if part:
        await write.execute(insert(table), part)


def _without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)

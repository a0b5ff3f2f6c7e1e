"""What the secrets service knows of workspaces: it asks the models service, which owns them."""

import asyncio
import json
import random

import httpx
import structlog

from modelport_contracts.names import is_name
from modelport_contracts.records import Change
from modelport_kit.errors import AwayError, NotFoundError
from modelport_secrets.domain import gone_workspaces
from modelport_secrets.store import SecretStore

logger = structlog.get_logger(__name__)

COMPARE_EVERY_S = 3600.0


class Workspaces:
    """Asks whether a workspace exists, and removes the secrets of those that are gone."""

    def __init__(self, models: httpx.AsyncClient, store: SecretStore) -> None:
        self._models = models
        self._store = store

    async def id_of(self, workspace: str) -> str:
        """Return a workspace's id. Raises NotFoundError, or AwayError where the models service is away."""
        found = await self._find(workspace)
        if found is None:
            raise NotFoundError("workspace", workspace)
        return found

    async def _find(self, workspace: str) -> str | None:
        if not is_name(workspace):
            return None
        try:
            reply = await self._models.get(f"/apis/entities/v2/workspaces/{workspace}")
            if reply.status_code == 404:
                return None
            reply.raise_for_status()
            return str(reply.json()["id"])
        except (httpx.HTTPError, json.JSONDecodeError, KeyError) as error:
            raise AwayError("the models service, which knows the workspaces, cannot be reached") from error

    async def on_change(self, change: Change) -> None:
        """Handle a workspace's event; only removals matter. An error leads to redelivery."""
        if change.envelope.operation == "delete":
            await self.remove_gone(change.envelope.key.split("/")[1])

    async def remove_gone(self, only: str | None = None) -> None:
        """Remove the secrets of workspaces that are gone; `only` limits it to one name."""
        known = await self._store.workspaces()
        if only is not None:
            known = {name: ids for name, ids in known.items() if name == only}
        living = {name: found for name in known if (found := await self._find(name)) is not None}
        for workspace, workspace_id in gone_workspaces(known, living):
            count = await self._store.delete_workspace(workspace, workspace_id)
            logger.info("removed the secrets of a removed workspace", workspace=workspace, count=count)

    async def compare_for_ever(self) -> None:
        """Compare now and then: a removal that was missed, or a secret stored while its workspace went."""
        while True:
            await asyncio.sleep(COMPARE_EVERY_S * (0.5 + random.random()))  # noqa: S311 (jitter)
            try:
                await self.remove_gone()
            except AwayError as error:
                logger.warning("workspaces not compared", reason=error.message)

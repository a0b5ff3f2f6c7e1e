"""What the secrets service knows of workspaces: it asks the models service, which owns them.

A workspace that is deleted and made again has another id and must never inherit the former one's secrets, also
where nothing told of the removal yet. So what users ask is answered for the id that the workspace has now.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import structlog

from modelport_contracts.names import is_name
from modelport_contracts.pages import MAX_PAGE_SIZE
from modelport_contracts.records import Change
from modelport_kit.errors import AwayError, NotFoundError
from modelport_kit.service_get import NoAnswerError, Reply, ServiceGet
from modelport_secrets.domain import gone_workspaces
from modelport_secrets.store import SecretStore

logger = structlog.get_logger(__name__)

COMPARE_EVERY_S = 3600.0
ASK_BEFORE_REVEAL_S = 1.0
SHARED_S = 0.005
"""Values asked for within this time of a question share its answer: all gateways ask at once when a secret was
rotated. It is far less than it takes to remove a workspace, make it again, and make and call a provider there."""
_WORKSPACES = "/apis/entities/v2/workspaces"


class Workspaces:
    """Asks whether a workspace exists, and removes the secrets of those that are gone."""

    def __init__(self, models: ServiceGet, store: SecretStore) -> None:
        self._models = models
        self._store = store
        self._asked: dict[str, asyncio.Task[str | None]] = {}

    async def id_of(self, workspace: str) -> str:
        """Return the id a workspace has now. Raises NotFoundError, or AwayError where the models service is away."""
        found = await self._find(workspace)
        if found is None:
            raise NotFoundError("workspace", workspace)
        return found

    async def check_stored(self, workspace: str, workspace_id: str) -> None:
        """Look again after a secret was stored: its workspace may have gone since its id was asked for.

        The removal's event may have been handled before there was a row to remove. Raises NotFoundError, and the
        row is gone then. Where nobody can say, the row stays: the comparison finds it.
        """
        try:
            if await asyncio.shield(self._ask(workspace)) == workspace_id:  # gateways share the answer
                return
        except AwayError as error:
            logger.warning("a workspace was not looked at again", workspace=workspace, reason=error.message)
            return
        await self.remove_gone(workspace)
        raise NotFoundError("workspace", workspace)

    def begin_looking(self, workspace: str) -> "asyncio.Task[str | None]":
        """Begin to ask for the id a workspace has now, for `is_gone`; None where there is no such workspace."""
        return self._asked.get(workspace) or self._ask(workspace)

    def expect_reveals(self, workspace: str) -> None:
        """Ask already now what `begin_looking` will: a value was changed, and every gateway is about to fetch it."""
        self._ask(workspace)

    def _ask(self, workspace: str) -> "asyncio.Task[str | None]":
        """Ask anew; for SHARED_S from now others share the answer."""
        asked = asyncio.ensure_future(self._find(workspace))
        self._asked[workspace] = asked
        asked.add_done_callback(_retrieved)
        asyncio.get_running_loop().call_later(SHARED_S, self._forget, workspace, asked)
        return asked

    def _forget(self, workspace: str, asked: "asyncio.Task[str | None]") -> None:
        if self._asked.get(workspace) is asked:
            del self._asked[workspace]

    async def is_gone(self, workspace: str, workspace_id: str | None, looking: "asyncio.Task[str | None]") -> bool:
        """Say whether the workspace that a value was stored in is known to be gone. `looking` was begun before the
        value was read.

        No where the models service does not answer at once: requests to providers must not depend on it. Only what
        was named in the workspace while it was there can ask then, and its routes go with it.
        """
        if workspace_id is None:
            return False
        try:
            async with asyncio.timeout(ASK_BEFORE_REVEAL_S):
                if await asyncio.shield(looking) == workspace_id:
                    return False
                # Made again since, and the value is of the new one: nobody but the models service can tell.
                return await self._find(workspace) != workspace_id
        except (AwayError, TimeoutError):
            return False

    async def _find(self, workspace: str) -> str | None:
        if not is_name(workspace):
            return None
        with _no_answer_is_away():
            reply = await self._models.get(f"{_WORKSPACES}/{workspace}")
            if reply.status == 404:
                return None
            return str(_result(reply)["id"])

    async def _list(self) -> dict[str, str]:
        """Return the ids of all workspaces. One may be missing where others go while the pages are read."""
        found: dict[str, str] = {}
        page, pages = 1, 1
        while page <= pages:
            with _no_answer_is_away():
                query: dict[str, str | int] = {"page": page, "page_size": MAX_PAGE_SIZE, "sort": "name"}
                listed = _result(await self._models.get(f"{_WORKSPACES}?{urlencode(query)}"))
                found |= {one["name"]: one["id"] for one in listed["data"]}
                pages = listed["pagination"]["total_pages"]
            page += 1
        return found

    async def on_change(self, change: Change) -> None:
        """Handle a workspace's event; only removals matter. An error leads to redelivery."""
        if change.envelope.operation == "delete":
            await self.remove_gone(change.envelope.key.split("/")[1])

    async def remove_gone(self, only: str | None = None) -> int:
        """Remove the secrets of workspaces that are gone and return how many; `only` limits it to one name.

        The rows are read before the models service is asked: an id that was in use then and is not the current one
        is gone for good. Raises AwayError.
        """
        known = await self._store.workspaces(only)
        living = await self._list() if only is None else {}
        removed = 0
        for workspace, workspace_id in gone_workspaces(known, living):
            if await self._find(workspace) == workspace_id:
                continue
            count = await self._store.delete_workspace(workspace, workspace_id)
            removed += count
            logger.info("removed the secrets of a removed workspace", workspace=workspace, count=count)
        return removed

    async def compare_for_ever(self, compared: Callable[[], None] = lambda: None) -> None:
        """Compare now and then: a removal that was missed, or a secret stored while its workspace went.

        `compared` is called each time it succeeded.
        """
        while True:
            await asyncio.sleep(COMPARE_EVERY_S * (0.5 + random.random()))  # noqa: S311 (jitter)
            try:
                await self.remove_gone()
                compared()
            except AwayError as error:
                logger.warning("workspaces not compared", reason=error.message)


def _retrieved(task: "asyncio.Task[str | None]") -> None:
    if not task.cancelled():
        task.exception()  # fetched: whoever began it may not have needed the answer


def _result(reply: Reply) -> dict[str, Any]:
    if reply.status != 200:
        raise NoAnswerError(f"status {reply.status}")
    result = reply.json()
    if not isinstance(result, dict):
        raise NoAnswerError("no JSON object")
    return result


@contextlib.contextmanager
def _no_answer_is_away() -> Iterator[None]:
    try:
        yield
    except (NoAnswerError, ValueError, KeyError) as error:
        raise AwayError("the models service, which knows the workspaces, cannot be reached") from error

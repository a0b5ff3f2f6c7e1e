"""`GET .../provider/{name}/ready` and `GET .../applied/{kind}/{name}` (docs/wire.md, 1 and 3.5).

Both speak for all live gateways (docs/propagation.md, rule 19), and can be waited for.
"""

import asyncio
import json
from collections.abc import Coroutine
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Query, Request

from modelport_contracts.names import NAME_RULE, is_name, is_virtual_model_name
from modelport_contracts.records import SOURCE_OF_KIND, Kind, record_key
from modelport_contracts.resources.providers import ProviderStatus
from modelport_kit.errors import ApiError, AwayError, UnprocessableError
from modelport_routing import GatewayWatch
from modelport_routing.errors import TableAwayError
from modelport_routing.fleet import Progress, Standing
from modelport_routing.watch import Accepts

T = TypeVar("T")

MAX_WAIT_S = 60.0
AppliedKind = Literal["provider", "virtual-model", "secret"]
Revision = Annotated[str | None, Query(description="the x-modelport-revision of a write to wait for")]
Wait = Annotated[float, Query(ge=0, le=MAX_WAIT_S, description="seconds to wait for it before answering 404")]


def revision_number(revision: str | None, source: str) -> int:
    """Read a revision as writes return it (`models.123`), or a plain number. Raises UnprocessableError."""
    if revision is None or revision == "":
        return 0
    prefix, dot, number = revision.rpartition(".")
    if not number.isdecimal() or len(number) > 18 or (dot and prefix != source):
        raise UnprocessableError(("query", "revision"), f"must be what a write returned, such as {source}.123")
    return int(number)


def ready_router() -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/apis/inference-gateway/v2/workspaces/{workspace}", tags=["inference"])

    @router.get("/provider/{name}/ready", summary="Whether a provider can be used, through every gateway")
    async def provider_ready(
        workspace: str, name: str, request: Request, revision: Revision = None, wait: Wait = 0.0
    ) -> dict[str, Any]:
        progress, done = await _ask(request, "provider", workspace, name, revision, wait, accepts=_is_ready)
        record = _record(progress.standing)
        if done:
            assert record is not None
            return {"ready": True, "provider": f"{workspace}/{name}", "host_url": record["host_url"]}
        label = f"provider {workspace}/{name}"
        if record is None:
            raise _not_applied(progress, label, revision, "provider_not_found")
        if record["status"] != ProviderStatus.READY:
            raise ApiError(404, "provider_not_ready", f"{label} is {record['status']}")
        raise _not_applied(progress, label, revision)

    @router.get("/applied/{kind}/{name}", summary="Whether every gateway acts on a change")
    async def get_applied(
        workspace: str, kind: AppliedKind, name: str, request: Request, revision: Revision = None, wait: Wait = 0.0
    ) -> dict[str, Any]:
        progress, done = await _ask(request, kind, workspace, name, revision, wait)
        if not done or progress.standing is None:
            raise _not_applied(progress, f"{kind} {workspace}/{name}", revision)
        return {
            "state": progress.standing.state,
            "revision": f"{SOURCE_OF_KIND[kind]}.{progress.standing.revision}",
        }

    return router


async def _ask(
    request: Request,
    kind: Kind,
    workspace: str,
    name: str,
    revision: str | None,
    wait_s: float,
    accepts: Accepts | None = None,
) -> tuple[Progress, bool]:
    is_legal = is_virtual_model_name if kind == "virtual-model" else is_name
    for where, legal in (("workspace", is_name(workspace)), ("name", is_legal(name))):
        if not legal:
            raise UnprocessableError(("path", where), f"not a valid name; a name has {NAME_RULE}")
    wanted = revision_number(revision, SOURCE_OF_KIND[kind])
    watch = request.app.state.watch
    assert isinstance(watch, GatewayWatch)
    asking = watch.applied(record_key(kind, workspace, name), wanted, wait_s=wait_s, accepts=accepts)
    try:
        return await (_while_connected(request, asking) if wait_s else asking)
    except TableAwayError as error:
        raise AwayError(str(error), "table_away") from None


async def _while_connected(request: Request, asking: Coroutine[Any, Any, T]) -> T:
    """Wait for an answer as long as somebody is there to hear it."""

    async def hung_up() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    answer, leaving = asyncio.ensure_future(asking), asyncio.ensure_future(hung_up())
    try:
        await asyncio.wait({answer, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ApiError(499, "client_left", "the client left before the answer")
        return answer.result()
    finally:
        for task in (answer, leaving):
            task.cancel()
        await asyncio.gather(answer, leaving, return_exceptions=True)


def _is_ready(standing: Standing) -> bool:
    record = _record(standing)
    return record is not None and record["status"] == ProviderStatus.READY


def _record(standing: Standing | None) -> dict[str, Any] | None:
    if standing is None or standing.payload is None:
        return None
    record: dict[str, Any] = json.loads(standing.payload)
    return record


def _not_applied(progress: Progress, label: str, revision: str | None, absent: str = "not_applied") -> ApiError:
    """Say what is still missing."""
    standing = progress.standing
    if standing is None:
        at = f" at revision {revision}" if revision else ""
        return ApiError(404, "behind", f"the routing table does not have {label}{at} yet; ask again, or with wait=")
    if standing.state == "absent" and absent != "not_applied":
        return ApiError(404, absent, f"{label} does not exist")
    return ApiError(404, "not_applied", f"{label} is not known yet to: {', '.join(progress.lacking)}")

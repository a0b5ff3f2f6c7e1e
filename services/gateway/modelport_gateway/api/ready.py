"""`GET .../provider/{name}/ready`: can a provider be used through this gateway (docs/wire.md, 1 and 3.5)."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from modelport_contracts.names import NAME_RULE, is_name
from modelport_contracts.records import record_key
from modelport_contracts.resources.providers import ProviderStatus
from modelport_kit.errors import ApiError, AwayError, UnprocessableError
from modelport_routing.errors import TableAwayError
from modelport_routing.near_cache import NearCache


def revision_number(revision: str | None, source: str) -> int:
    """Read a revision as writes return it (`models.123`), or a plain number. Raises UnprocessableError."""
    if revision is None or revision == "":
        return 0
    prefix, dot, number = revision.rpartition(".")
    if not number.isdecimal() or len(number) > 18 or (dot and prefix != source):
        raise UnprocessableError(("query", "revision"), f"must be what a write returned, such as {source}.123")
    return int(number)


def ready_router() -> APIRouter:
    """Make the route."""
    router = APIRouter(prefix="/apis/inference-gateway/v2/workspaces/{workspace}", tags=["inference"])

    @router.get("/provider/{name}/ready", summary="Whether a provider can be used")
    async def provider_ready(
        workspace: str,
        name: str,
        request: Request,
        revision: Annotated[str | None, Query(description="the x-modelport-revision of a write to wait for")] = None,
    ) -> dict[str, Any]:
        for where, given in (("workspace", workspace), ("name", name)):
            if not is_name(given):
                raise UnprocessableError(("path", where), f"not a valid name; a name has {NAME_RULE}")
        wanted = revision_number(revision, "models")
        table = request.app.state.table
        assert isinstance(table, NearCache)
        try:
            entry = await table.get(record_key("provider", workspace, name), min_revision=wanted)
        except TableAwayError as error:
            raise AwayError(str(error), "table_away") from None
        label = f"{workspace}/{name}"
        if not entry.present or entry.payload is None:
            raise ApiError(404, "provider_not_found", f"provider {label} is not known to this gateway")
        record = json.loads(entry.payload)
        if entry.revision < wanted:
            raise ApiError(404, "behind", f"provider {label} is known, but not yet at revision {revision}")
        if record["status"] != ProviderStatus.READY:
            raise ApiError(404, "provider_not_ready", f"provider {label} is {record['status']}")
        return {"ready": True, "provider": label, "host_url": record["host_url"]}

    return router

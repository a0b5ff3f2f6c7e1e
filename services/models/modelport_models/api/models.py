"""`/apis/models/v2/workspaces/{workspace}/models`."""

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from modelport_contracts.pages import Page
from modelport_contracts.resources.models import Model, ModelCreate, ModelUpdate
from modelport_kit.http import page_reply, require, set_revision
from modelport_kit.service_tokens import TrustedCallers
from modelport_models.api.common import Listing, WithParts
from modelport_models.domain import SOURCE


def models_router(trusted: TrustedCallers) -> APIRouter:
    """Make the routes."""
    router = APIRouter(
        prefix="/apis/models/v2/workspaces/{workspace}/models",
        tags=["models"],
        dependencies=[Depends(require(trusted, "api"))],
    )

    @router.post("", status_code=201, summary="Make a model entity")
    async def create_model(workspace: str, body: ModelCreate, response: Response, parts: WithParts) -> Model:
        model, revision = await parts.stores.models.create(workspace, body)
        set_revision(response, SOURCE, revision)
        return model

    @router.get("", summary="List model entities", response_model=Page[Model])
    async def list_models(
        workspace: str, request: Request, wanted: Listing, parts: WithParts, verbose: bool = False
    ) -> JSONResponse:
        del verbose  # every field is always shown; published clients send it
        items, position = await parts.stores.models.list(workspace, wanted)
        return page_reply(request, wanted, items, position)

    @router.get("/{name}", summary="Show a model entity")
    async def get_model(
        workspace: str, name: str, response: Response, parts: WithParts, verbose: bool = False
    ) -> Model:
        del verbose
        model, revision = await parts.stores.models.get(workspace, name)
        set_revision(response, SOURCE, revision)
        return model

    @router.patch("/{name}", summary="Change a model entity")
    async def update_model(workspace: str, name: str, body: ModelUpdate, response: Response, parts: WithParts) -> Model:
        model, revision = await parts.stores.models.update(workspace, name, body)
        set_revision(response, SOURCE, revision)
        return model

    @router.delete("/{name}", status_code=204, summary="Delete a model entity that nobody serves")
    async def delete_model(workspace: str, name: str, response: Response, parts: WithParts) -> None:
        set_revision(response, SOURCE, await parts.stores.models.delete(workspace, name))

    return router

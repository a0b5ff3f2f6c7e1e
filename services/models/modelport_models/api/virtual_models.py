"""`/apis/inference-gateway/v2/workspaces/{workspace}/virtual-models`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from modelport_contracts.pages import Page
from modelport_contracts.resources.virtual_models import VirtualModel, VirtualModelCreate, VirtualModelUpdate
from modelport_kit.http import page_reply, require, set_revision
from modelport_kit.service_tokens import TrustedCallers
from modelport_models.api.common import Listing, WithParts
from modelport_models.domain import SOURCE


def virtual_models_router(trusted: TrustedCallers) -> APIRouter:
    """Make the routes. The path is the gateway's, the data are this service's."""
    router = APIRouter(
        prefix="/apis/inference-gateway/v2/workspaces/{workspace}/virtual-models",
        tags=["virtual models"],
        dependencies=[Depends(require(trusted, "api"))],
    )

    @router.post("", status_code=201, summary="Make a virtual model")
    async def create_virtual_model(
        workspace: str, body: VirtualModelCreate, response: Response, parts: WithParts
    ) -> VirtualModel:
        virtual_model, revision = await parts.stores.virtual_models.create(workspace, body)
        set_revision(response, SOURCE, revision)
        return virtual_model

    @router.get("", summary="List virtual models", response_model=Page[VirtualModel])
    async def list_virtual_models(
        workspace: str,
        request: Request,
        wanted: Listing,
        parts: WithParts,
        exclude_autoprovisioned: Annotated[bool, Query(description="leave out those that discovery made")] = False,
    ) -> JSONResponse:
        items, position = await parts.stores.virtual_models.list(
            workspace, wanted, exclude_autoprovisioned=exclude_autoprovisioned
        )
        return page_reply(request, wanted, items, position)

    @router.get("/{name}", summary="Show a virtual model")
    async def get_virtual_model(workspace: str, name: str, response: Response, parts: WithParts) -> VirtualModel:
        virtual_model, revision = await parts.stores.virtual_models.get(workspace, name)
        set_revision(response, SOURCE, revision)
        return virtual_model

    @router.patch("/{name}", summary="Change a virtual model")
    async def update_virtual_model(
        workspace: str, name: str, body: VirtualModelUpdate, response: Response, parts: WithParts
    ) -> VirtualModel:
        virtual_model, revision = await parts.stores.virtual_models.update(workspace, name, body)
        set_revision(response, SOURCE, revision)
        return virtual_model

    @router.delete("/{name}", status_code=204, summary="Delete a virtual model")
    async def delete_virtual_model(workspace: str, name: str, response: Response, parts: WithParts) -> None:
        set_revision(response, SOURCE, await parts.stores.virtual_models.delete(workspace, name))

    return router

"""`/apis/entities/v2/workspaces`."""

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from modelport_contracts.pages import Page
from modelport_contracts.resources.workspaces import Workspace, WorkspaceCreate, WorkspaceDeleted, WorkspaceUpdate
from modelport_kit.http import page_reply, require, set_revision
from modelport_kit.lean_route import LeanRoute
from modelport_kit.service_tokens import TrustedCallers
from modelport_models.api.common import Listing, WithParts, parts_of
from modelport_models.domain import SOURCE


def workspaces_router(trusted: TrustedCallers) -> APIRouter:
    """Make the routes."""
    router = APIRouter(
        prefix="/apis/entities/v2/workspaces", tags=["workspaces"], dependencies=[Depends(require(trusted, "api"))]
    )

    @router.post("", status_code=201, summary="Make a workspace")
    async def create_workspace(body: WorkspaceCreate, response: Response, parts: WithParts) -> Workspace:
        workspace, revision = await parts.stores.workspaces.create(body.name, body.description)
        set_revision(response, SOURCE, revision)
        return workspace

    @router.get("", summary="List workspaces", response_model=Page[Workspace])
    async def list_workspaces(request: Request, wanted: Listing, parts: WithParts) -> JSONResponse:
        items, position = await parts.stores.workspaces.list(wanted)
        return page_reply(request, wanted, items, position)

    async def get_workspace(request: Request, name: str) -> Response:
        workspace, revision = await parts_of(request).stores.workspaces.get(name)
        response = Response(workspace.model_dump_json(), media_type="application/json")
        set_revision(response, SOURCE, revision)
        return response

    # lean: the secrets service asks it while gateways wait for a secret's value
    router.add_api_route(
        "/{name}",
        get_workspace,
        methods=["GET"],
        summary="Show a workspace",
        response_model=Workspace,
        route_class_override=LeanRoute,
    )

    @router.put("/{name}", summary="Change a workspace's description")
    async def update_workspace(name: str, body: WorkspaceUpdate, response: Response, parts: WithParts) -> Workspace:
        workspace, revision = await parts.stores.workspaces.update(name, body.description)
        set_revision(response, SOURCE, revision)
        return workspace

    @router.delete("/{name}", summary="Delete a workspace and everything in it")
    async def delete_workspace(name: str, response: Response, parts: WithParts) -> WorkspaceDeleted:
        workspace_id, revision = await parts.stores.workspaces.delete(name)
        set_revision(response, SOURCE, revision)
        return WorkspaceDeleted(id=workspace_id, message=f"workspace {name} and everything in it is deleted")

    return router

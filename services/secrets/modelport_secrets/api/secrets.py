"""`/apis/secrets/v2/workspaces/{workspace}/secrets`."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from modelport_contracts.names import ANY_WORKSPACE
from modelport_contracts.pages import Page
from modelport_contracts.resources.secrets import Secret, SecretAccess, SecretCreate, SecretUpdate
from modelport_kit.database.audit import AuditTrail
from modelport_kit.errors import AlreadyExistsError, ApiError, AwayError, NotFoundError
from modelport_kit.http import page_reply, page_request, require, set_revision
from modelport_kit.lean_route import LeanRoute
from modelport_kit.lists import PageRequest
from modelport_kit.redaction import held
from modelport_kit.service_tokens import TrustedCallers
from modelport_secrets import domain
from modelport_secrets.domain import SOURCE, check_writable
from modelport_secrets.store import Revealed, SecretStore
from modelport_secrets.workspaces import Workspaces

PREFIX = "/apis/secrets/v2/workspaces/{workspace}/secrets"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes work with; filled at start."""

    store: SecretStore
    workspaces: Workspaces
    audit: AuditTrail


async def _parts(request: Request) -> Parts:
    parts = request.app.state.parts
    assert isinstance(parts, Parts)
    return parts


WithParts = Annotated[Parts, Depends(_parts)]
Listing = Annotated[PageRequest, Depends(page_request())]


def secrets_router(trusted: TrustedCallers) -> APIRouter:
    """Make the public routes."""
    router = APIRouter(prefix=PREFIX, tags=["secrets"], dependencies=[Depends(require(trusted, "api"))])

    @router.post("", status_code=201, summary="Store a secret")
    async def create_secret(workspace: str, body: SecretCreate, response: Response, parts: WithParts) -> Secret:
        held.hold(body, body.value.get_secret_value())
        check_writable(workspace, body.name)
        workspace_id = await parts.workspaces.id_of(workspace)
        given = (workspace, workspace_id, body.name, body.value.get_secret_value(), body.description)
        try:
            secret, revision = await parts.store.create(*given)
        except AlreadyExistsError:
            if not await parts.workspaces.remove_gone(workspace):
                raise
            secret, revision = await parts.store.create(*given)
        await parts.workspaces.check_stored(workspace, workspace_id)
        set_revision(response, SOURCE, revision)
        return secret

    @router.get("", summary="List secrets, without their values", response_model=Page[Secret])
    async def list_secrets(workspace: str, request: Request, wanted: Listing, parts: WithParts) -> JSONResponse:
        workspace_id = None
        if workspace == ANY_WORKSPACE:
            await parts.workspaces.remove_gone()
        else:
            workspace_id = await parts.workspaces.id_of(workspace)
        items, position = await parts.store.list(workspace, workspace_id, wanted)
        return page_reply(request, wanted, items, position)

    @router.get("/{name}", summary="Show a secret, without its value")
    async def get_secret(workspace: str, name: str, response: Response, parts: WithParts) -> Secret:
        workspace_id = await parts.workspaces.id_of(workspace)
        secret, revision = await parts.store.get(workspace, workspace_id, name)
        set_revision(response, SOURCE, revision)
        return secret

    @router.patch("/{name}", summary="Change a secret's value or description")
    async def update_secret(
        workspace: str, name: str, body: SecretUpdate, response: Response, parts: WithParts
    ) -> Secret:
        if body.value is not None:
            held.hold(body, body.value.get_secret_value())
        check_writable(workspace, name)
        workspace_id = await parts.workspaces.id_of(workspace)
        secret, revision = await parts.store.update(
            workspace,
            workspace_id,
            name,
            body.value.get_secret_value() if body.value is not None else None,
            body.description,
            set_description="description" in body.model_fields_set,
        )
        if body.value is not None:
            parts.workspaces.expect_reveals(workspace)
        set_revision(response, SOURCE, revision)
        return secret

    @router.delete("/{name}", status_code=204, summary="Delete a secret")
    async def delete_secret(workspace: str, name: str, response: Response, parts: WithParts) -> None:
        check_writable(workspace, name)
        workspace_id = await parts.workspaces.id_of(workspace)
        set_revision(response, SOURCE, await parts.store.delete(workspace, workspace_id, name))

    return router


def reveal_router(trusted: TrustedCallers) -> APIRouter:
    """Make the route that reveals a value: for the gateway's own token, which the front door never uses.

    Each attempt is in the audit trail before it is answered; what cannot be told there is not revealed.
    """
    check = require(trusted, "reveal")

    async def may_reveal(request: Request) -> None:
        try:
            await check(request)
        except ApiError as error:
            await _tell_refusal(request, error)
            raise

    router = APIRouter(prefix=PREFIX, tags=["secrets"], dependencies=[Depends(may_reveal)], route_class=LeanRoute)

    @router.get("/{name}/access", summary="Reveal a secret's value to the gateway", response_model=SecretAccess)
    async def access_secret(request: Request, workspace: str, name: str) -> Response:
        parts = await _parts(request)
        try:
            revealed = await _reveal(parts, workspace, name)
        except ApiError as error:
            await _tell_refusal(request, error)
            raise
        await parts.audit.tell(domain.revealed(workspace, name, revealed.version))
        response = JSONResponse({"name": name, "workspace": workspace, "value": revealed.value})
        set_revision(response, SOURCE, revealed.version)
        return response

    return router


async def _reveal(parts: Parts, workspace: str, name: str) -> Revealed:
    looking = parts.workspaces.begin_looking(workspace)
    revealed = await parts.store.reveal(workspace, name)
    if await parts.workspaces.is_gone(workspace, revealed.workspace_id, looking):
        raise NotFoundError("secret", f"{workspace}/{name}")
    return revealed


async def _tell_refusal(request: Request, error: ApiError) -> None:
    if isinstance(error, AwayError):  # nothing was decided, and the trail is most likely away too
        return
    parts = await _parts(request)
    names = request.path_params
    await parts.audit.tell(domain.not_revealed(names["workspace"], names["name"], error.code))

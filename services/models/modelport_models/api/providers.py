"""`/apis/models/v2/workspaces/{workspace}/providers`."""

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from modelport_contracts.pages import Page
from modelport_contracts.resources.providers import Provider, ProviderCreate, ProviderStatusUpdate, ProviderUpdate
from modelport_kit.errors import BadRequestError, UnprocessableError
from modelport_kit.http import page_reply, require, set_revision
from modelport_kit.service_tokens import TrustedCallers
from modelport_models.api.common import Listing, Parts, WithParts
from modelport_models.api.names import valid_name
from modelport_models.domain import SOURCE


async def _check(parts: Parts, workspace: str, body: ProviderUpdate) -> None:
    if problems := body.forbidden_headers():
        raise BadRequestError("; ".join(problems), code="header_not_allowed")
    if refusal := parts.egress_allow.url_refusal(body.host_url):
        raise UnprocessableError(("body", "host_url"), refusal, kind="egress_refused")
    await parts.stores.workspaces.get(workspace)
    if body.api_key_secret_name is not None:
        await parts.secrets.check_exists(workspace, body.api_key_secret_name, "api_key_secret_name")
    if body.options is not None and body.options.ca_secret_name is not None:
        await parts.secrets.check_exists(workspace, body.options.ca_secret_name, "options.ca_secret_name")


def providers_router(trusted: TrustedCallers) -> APIRouter:
    """Make the routes."""
    router = APIRouter(
        prefix="/apis/models/v2/workspaces/{workspace}/providers",
        tags=["providers"],
        dependencies=[Depends(require(trusted, "api"))],
    )

    @router.post("", status_code=201, summary="Register a provider")
    async def create_provider(workspace: str, body: ProviderCreate, response: Response, parts: WithParts) -> Provider:
        await _check(parts, workspace, body)
        provider, revision = await parts.stores.providers.create(workspace, body)
        parts.discovery.look_now()
        set_revision(response, SOURCE, revision)
        return provider

    @router.get("", summary="List providers", response_model=Page[Provider])
    async def list_providers(workspace: str, request: Request, wanted: Listing, parts: WithParts) -> JSONResponse:
        items, position = await parts.stores.providers.list(workspace, wanted)
        return page_reply(request, wanted, items, position)

    @router.get("/{name}", summary="Show a provider")
    async def get_provider(workspace: str, name: str, response: Response, parts: WithParts) -> Provider:
        provider, revision = await parts.stores.providers.get(workspace, name)
        set_revision(response, SOURCE, revision)
        return provider

    @router.put("/{name}", summary="Replace a provider, or register it")
    async def replace_provider(
        workspace: str, name: str, body: ProviderUpdate, response: Response, parts: WithParts
    ) -> Provider:
        valid_name(name)
        await _check(parts, workspace, body)
        provider, revision, is_new = await parts.stores.providers.replace(workspace, name, body)
        parts.discovery.look_now()
        if is_new:
            response.status_code = 201
        set_revision(response, SOURCE, revision)
        return provider

    @router.put("/{name}/status", summary="Set a provider's status, message or served models")
    async def set_provider_status(
        workspace: str, name: str, body: ProviderStatusUpdate, response: Response, parts: WithParts
    ) -> Provider:
        provider, revision = await parts.stores.providers.set_status(workspace, name, body)
        set_revision(response, SOURCE, revision)
        return provider

    @router.delete("/{name}", status_code=204, summary="Delete a provider")
    async def delete_provider(workspace: str, name: str, response: Response, parts: WithParts) -> None:
        set_revision(response, SOURCE, await parts.stores.providers.delete(workspace, name))

    return router

"""Model providers: where models are, and how to reach them (docs/wire.md, 3.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx

from modelport import paths
from modelport.calls import Call, Filter, json_body, parse_as
from modelport.collection import Collection
from modelport.methods import (
    AsyncResource,
    Resource,
    async_list_method,
    async_method,
    list_method,
    method,
)
from modelport.pages import ListCall
from modelport.scope import Scope
from modelport_contracts.errors import REVISION_HEADER
from modelport_contracts.records import UpstreamOptions
from modelport_contracts.resources.providers import Provider, ProviderStatus, ServedModel

_PROVIDERS = Collection(Provider, paths.MODELS, "providers")


def create(
    scope: Scope,
    /,
    *,
    name: str,
    host_url: str,
    api_key_secret_name: str | None = None,
    enabled_models: Sequence[str] | None = None,
    auth_header_format: str | None = None,
    default_extra_headers: Mapping[str, str] | None = None,
    default_extra_body: Mapping[str, Any] | None = None,
    required_extra_headers: Mapping[str, str] | None = None,
    required_extra_body: Mapping[str, Any] | None = None,
    description: str | None = None,
    project: str | None = None,
    options: UpstreamOptions | Mapping[str, Any] | None = None,
    workspace: str | None = None,
    exist_ok: bool = False,
) -> Call[Provider]:
    """Register a provider. Its models are looked for at once; `client.models.wait_for_provider` waits for that.

    `enabled_models` are the provider's own ids; None enables all it has. `api_key_secret_name` is a secret of the
    same workspace. With `exist_ok` a provider of that name is returned as it is.
    """
    members = {
        "name": name,
        "host_url": host_url,
        "api_key_secret_name": api_key_secret_name,
        "enabled_models": enabled_models,
        "auth_header_format": auth_header_format,
        "default_extra_headers": default_extra_headers,
        "default_extra_body": default_extra_body,
        "required_extra_headers": required_extra_headers,
        "required_extra_body": required_extra_body,
        "description": description,
        "project": project,
        "options": options,
    }
    return noted(scope, _PROVIDERS.create(scope, workspace, members, exist_ok=exist_ok))


def retrieve(scope: Scope, /, name: str, *, workspace: str | None = None) -> Call[Provider]:
    """Return a provider."""
    return _PROVIDERS.retrieve(scope, workspace, name)


def list_(
    scope: Scope,
    /,
    *,
    workspace: str | None = None,
    filter: Filter | None = None,  # noqa: A002 (the parameter's name on the wire)
    sort: str | None = None,
    page: int | None = None,
    page_size: int | None = None,
) -> ListCall[Provider]:
    """List providers; workspace "-" lists those of all workspaces.

    `sort` is name, created_at, updated_at or status, with `-` in front for descending.
    """
    return _PROVIDERS.list(scope, workspace, page=page, page_size=page_size, sort=sort, filter=filter)


def update(
    scope: Scope,
    /,
    name: str,
    *,
    host_url: str,
    api_key_secret_name: str | None = None,
    enabled_models: Sequence[str] | None = None,
    auth_header_format: str | None = None,
    default_extra_headers: Mapping[str, str] | None = None,
    default_extra_body: Mapping[str, Any] | None = None,
    required_extra_headers: Mapping[str, str] | None = None,
    required_extra_body: Mapping[str, Any] | None = None,
    description: str | None = None,
    project: str | None = None,
    options: UpstreamOptions | Mapping[str, Any] | None = None,
    workspace: str | None = None,
) -> Call[Provider]:
    """Replace a provider: what is not given becomes empty, save `options`. Makes it where there is none."""
    members = {
        "host_url": host_url,
        "api_key_secret_name": api_key_secret_name,
        "enabled_models": enabled_models,
        "auth_header_format": auth_header_format,
        "default_extra_headers": default_extra_headers,
        "default_extra_body": default_extra_body,
        "required_extra_headers": required_extra_headers,
        "required_extra_body": required_extra_body,
        "description": description,
        "project": project,
        "options": options,
    }
    return noted(scope, _PROVIDERS.replace(scope, workspace, name, members))


def update_status(
    scope: Scope,
    /,
    name: str,
    *,
    status: ProviderStatus | str | None = None,
    status_message: str | None = None,
    served_models: Sequence[ServedModel | Mapping[str, Any]] | None = None,
    workspace: str | None = None,
) -> Call[Provider]:
    """Change what is named of a provider's status; discovery does so by itself."""
    members = {"status": status, "status_message": status_message, "served_models": served_models}
    path = paths.join(_PROVIDERS.path(scope, workspace, name), "status")
    return noted(scope, Call("PUT", path, parse_as(Provider), body=json_body(members)))


def delete(scope: Scope, /, name: str, *, workspace: str | None = None) -> Call[None]:
    """Delete a provider, and what discovery made for it."""
    return _PROVIDERS.delete(scope, workspace, name)


def noted(scope: Scope, call: Call[Provider]) -> Call[Provider]:
    """Remember the revision that a write makes, or a reading finds, for `wait_for_gateway`."""

    def parse(response: httpx.Response) -> Provider:
        provider = call.parse(response)
        if revision := response.headers.get(REVISION_HEADER):
            scope.revisions[provider.workspace, provider.name] = revision
        return provider

    return replace(call, parse=parse)


class Providers(Resource):
    """`client.inference.providers`."""

    create = method(create)
    retrieve = method(retrieve)
    list = list_method(list_)
    update = method(update)
    update_status = method(update_status)
    delete = method(delete)


class AsyncProviders(AsyncResource):
    """`client.inference.providers` of the asynchronous client."""

    create = async_method(create)
    retrieve = async_method(retrieve)
    list = async_list_method(list_)
    update = async_method(update)
    update_status = async_method(update_status)
    delete = async_method(delete)

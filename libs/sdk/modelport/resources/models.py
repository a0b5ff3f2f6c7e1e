"""Model entities: what providers serve, under the platform's names (docs/wire.md, 3.3); and helpers around them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modelport import paths
from modelport.calls import UNSET, Call, Filter, Unset, list_query
from modelport.collection import Collection
from modelport.errors import MissingDependencyError
from modelport.methods import (
    AsyncResource,
    Resource,
    async_flow_method,
    async_list_method,
    async_method,
    flow_method,
    list_method,
    method,
)
from modelport.pages import ListCall
from modelport.scope import Scope, member
from modelport.waiting import wait_for_gateway, wait_for_provider
from modelport_contracts.resources.models import ApiEndpoint, BackendFormat, Model
from modelport_contracts.resources.providers import Provider

if TYPE_CHECKING:
    import openai

NO_KEY = "not-needed"
"""What the OpenAI client shows as its key where the platform wants none; the client refuses an empty one."""


_MODELS = Collection(Model, paths.MODELS, "models")


def create(
    scope: Scope,
    /,
    *,
    name: str,
    backend_format: BackendFormat | str | None = None,
    base_model: str | None = None,
    description: str | None = None,
    spec: Mapping[str, Any] | None = None,
    finetuning_type: str | None = None,
    fileset: str | None = None,
    trust_remote_code: bool | None = None,
    api_endpoint: ApiEndpoint | Mapping[str, Any] | None = None,
    adapters: Sequence[Any] | None = None,
    prompt: Any | None = None,
    custom_fields: Mapping[str, Any] | None = None,
    ownership: Mapping[str, Any] | None = None,
    project: str | None = None,
    workspace: str | None = None,
    exist_ok: bool = False,
) -> Call[Model]:
    """Make a model entity. Discovery makes those of providers by itself.

    With `exist_ok` an entity of that name is returned as it is.
    """
    members = {
        "name": name,
        "backend_format": backend_format,
        "base_model": base_model,
        "description": description,
        "spec": spec,
        "finetuning_type": finetuning_type,
        "fileset": fileset,
        "trust_remote_code": trust_remote_code,
        "api_endpoint": api_endpoint,
        "adapters": adapters,
        "prompt": prompt,
        "custom_fields": custom_fields,
        "ownership": ownership,
        "project": project,
    }
    return _MODELS.create(scope, workspace, members, exist_ok=exist_ok)


def retrieve(scope: Scope, /, name: str, *, verbose: bool | None = None, workspace: str | None = None) -> Call[Model]:
    """Return a model entity."""
    call = _MODELS.retrieve(scope, workspace, name)
    return replace(call, path=paths.with_query(call.path, list_query(verbose=verbose)))


def list_(
    scope: Scope,
    /,
    *,
    workspace: str | None = None,
    filter: Filter | None = None,  # noqa: A002 (the parameter's name on the wire)
    sort: str | None = None,
    page: int | None = None,
    page_size: int | None = None,
    verbose: bool | None = None,
) -> ListCall[Model]:
    """List model entities; workspace "-" lists those of all workspaces."""
    return _MODELS.list(scope, workspace, page=page, page_size=page_size, sort=sort, filter=filter, verbose=verbose)


def update(
    scope: Scope,
    /,
    name: str,
    *,
    backend_format: BackendFormat | str | Unset | None = UNSET,
    base_model: str | Unset | None = UNSET,
    description: str | Unset | None = UNSET,
    spec: Mapping[str, Any] | Unset | None = UNSET,
    finetuning_type: str | Unset | None = UNSET,
    fileset: str | Unset | None = UNSET,
    trust_remote_code: bool | Unset | None = UNSET,
    api_endpoint: ApiEndpoint | Mapping[str, Any] | Unset | None = UNSET,
    adapters: Sequence[Any] | Unset | None = UNSET,
    prompt: Any = UNSET,
    custom_fields: Mapping[str, Any] | Unset | None = UNSET,
    ownership: Mapping[str, Any] | Unset | None = UNSET,
    project: str | Unset | None = UNSET,
    workspace: str | None = None,
) -> Call[Model]:
    """Change what is named; None empties it. Discovery never overwrites it."""
    members = {
        "backend_format": backend_format,
        "base_model": base_model,
        "description": description,
        "spec": spec,
        "finetuning_type": finetuning_type,
        "fileset": fileset,
        "trust_remote_code": trust_remote_code,
        "api_endpoint": api_endpoint,
        "adapters": adapters,
        "prompt": prompt,
        "custom_fields": custom_fields,
        "ownership": ownership,
        "project": project,
    }
    return _MODELS.patch(scope, workspace, name, members)


def delete(scope: Scope, /, name: str, *, workspace: str | None = None) -> Call[None]:
    """Delete a model entity. Raises ConflictError for one that a provider still serves."""
    return _MODELS.delete(scope, workspace, name)


def openai_route_base_url(scope: Scope, workspace: str | None = None) -> str:
    """Return the base URL for OpenAI clients; `model` in the body chooses the model."""
    return scope.base_url + scope.in_workspace(paths.GATEWAY, workspace, "openai", "-", "v1")


def model_entity_route_openai_url(scope: Scope, entity: Model) -> str:
    """Return the base URL for OpenAI clients that reaches one model, whatever the body names."""
    route = scope.in_workspace(paths.GATEWAY, entity.workspace, "model", member(entity.name))
    return f"{scope.base_url}{route}/-/v1"


def provider_route_openai_url(scope: Scope, provider: Provider) -> str:
    """Return the base URL for OpenAI clients that reaches one provider; without /v1 where its host_url has it."""
    route = scope.in_workspace(paths.GATEWAY, provider.workspace, "provider", member(provider.name))
    version = "" if provider.host_url.rstrip("/").endswith("/v1") else "/v1"
    return f"{scope.base_url}{route}/-{version}"


class Models(Resource):
    """`client.models`: model entities, waiting, and addresses for OpenAI clients."""

    create = method(create)
    retrieve = method(retrieve)
    list = list_method(list_)
    update = method(update)
    delete = method(delete)
    wait_for_provider = flow_method(wait_for_provider)
    wait_for_gateway = flow_method(wait_for_gateway)

    def get_openai_client(self, *, workspace: str | None = None) -> "openai.OpenAI":
        """Return an `openai.OpenAI` whose requests go through the OpenAI route of a workspace.

        Raises MissingDependencyError where the openai package is not installed.
        """
        base_url = openai_route_base_url(self._runner.scope, workspace)
        client: openai.OpenAI = _openai().OpenAI(base_url=base_url, api_key=self._runner.token or NO_KEY)
        return client

    def get_openai_route_base_url(self, *, workspace: str | None = None) -> str:
        """Return the base URL for OpenAI clients; the body's `model` chooses the model."""
        return openai_route_base_url(self._runner.scope, workspace)

    def get_model_entity_route_openai_url(self, model_entity: Model) -> str:
        """Return the base URL for OpenAI clients that reaches one model, whatever the body names."""
        return model_entity_route_openai_url(self._runner.scope, model_entity)

    def get_provider_route_openai_url(self, provider: Provider) -> str:
        """Return the base URL for OpenAI clients that reaches one provider."""
        return provider_route_openai_url(self._runner.scope, provider)


class AsyncModels(AsyncResource):
    """`client.models` of the asynchronous client."""

    create = async_method(create)
    retrieve = async_method(retrieve)
    list = async_list_method(list_)
    update = async_method(update)
    delete = async_method(delete)
    wait_for_provider = async_flow_method(wait_for_provider)
    wait_for_gateway = async_flow_method(wait_for_gateway)

    def get_openai_client(self, *, workspace: str | None = None) -> "openai.AsyncOpenAI":
        """Return an `openai.AsyncOpenAI` whose requests go through the OpenAI route of a workspace.

        Raises MissingDependencyError where the openai package is not installed.
        """
        base_url = openai_route_base_url(self._runner.scope, workspace)
        client: openai.AsyncOpenAI = _openai().AsyncOpenAI(base_url=base_url, api_key=self._runner.token or NO_KEY)
        return client

    def get_openai_route_base_url(self, *, workspace: str | None = None) -> str:
        """Return the base URL for OpenAI clients; the body's `model` chooses the model."""
        return openai_route_base_url(self._runner.scope, workspace)

    def get_model_entity_route_openai_url(self, model_entity: Model) -> str:
        """Return the base URL for OpenAI clients that reaches one model, whatever the body names."""
        return model_entity_route_openai_url(self._runner.scope, model_entity)

    def get_provider_route_openai_url(self, provider: Provider) -> str:
        """Return the base URL for OpenAI clients that reaches one provider."""
        return provider_route_openai_url(self._runner.scope, provider)


def _openai() -> Any:
    try:
        import openai
    except ImportError as error:
        raise MissingDependencyError(
            "the openai package is not installed", hint="pip install 'modelport[openai]'"
        ) from error
    return openai

"""Virtual models: a stable name that applications call (docs/wire.md, 3.3)."""

from collections.abc import Mapping, Sequence
from typing import Any

from modelport import paths
from modelport.calls import UNSET, Call, Filter, Unset
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
from modelport_contracts.resources.virtual_models import (
    Middleware,
    Target,
    VirtualModel,
    VirtualModelOptions,
)

Targets = Sequence[Target | Mapping[str, Any]]
Steps = Sequence[Middleware | Mapping[str, Any]]


_VIRTUAL_MODELS = Collection(VirtualModel, paths.GATEWAY, "virtual-models")


def create(
    scope: Scope,
    /,
    *,
    name: str,
    models: Targets | None = None,
    default_model_entity: str | None = None,
    request_middleware: Steps | None = None,
    response_middleware: Steps | None = None,
    post_response_middleware: Steps | None = None,
    override_proxy: str | Mapping[str, Any] | None = None,
    options: VirtualModelOptions | Mapping[str, Any] | None = None,
    project: str | None = None,
    workspace: str | None = None,
    exist_ok: bool = False,
) -> Call[VirtualModel]:
    """Make a virtual model. Its name may end in one `*`: it then answers to every name with that beginning.

    `models` are its targets, each `{"model": "workspace/entity"}` with an optional backend_format, weight and
    priority. With `exist_ok` a virtual model of that name is returned as it is.
    """
    members = {
        "name": name,
        "models": models,
        "default_model_entity": default_model_entity,
        "request_middleware": request_middleware,
        "response_middleware": response_middleware,
        "post_response_middleware": post_response_middleware,
        "override_proxy": override_proxy,
        "options": options,
        "project": project,
    }
    return _VIRTUAL_MODELS.create(scope, workspace, members, exist_ok=exist_ok)


def retrieve(scope: Scope, /, name: str, *, workspace: str | None = None) -> Call[VirtualModel]:
    """Return a virtual model."""
    return _VIRTUAL_MODELS.retrieve(scope, workspace, name)


def list_(
    scope: Scope,
    /,
    *,
    workspace: str | None = None,
    exclude_autoprovisioned: bool | None = None,
    filter: Filter | None = None,  # noqa: A002 (the parameter's name on the wire)
    sort: str | None = None,
    page: int | None = None,
    page_size: int | None = None,
) -> ListCall[VirtualModel]:
    """List virtual models; `exclude_autoprovisioned` leaves out those that discovery made."""
    return _VIRTUAL_MODELS.list(
        scope,
        workspace,
        page=page,
        page_size=page_size,
        sort=sort,
        filter=filter,
        exclude_autoprovisioned=exclude_autoprovisioned,
    )


def patch(
    scope: Scope,
    /,
    name: str,
    *,
    models: Targets | Unset | None = UNSET,
    default_model_entity: str | Unset | None = UNSET,
    request_middleware: Steps | Unset | None = UNSET,
    response_middleware: Steps | Unset | None = UNSET,
    post_response_middleware: Steps | Unset | None = UNSET,
    override_proxy: str | Mapping[str, Any] | Unset | None = UNSET,
    options: VirtualModelOptions | Mapping[str, Any] | Unset | None = UNSET,
    project: str | Unset | None = UNSET,
    workspace: str | None = None,
) -> Call[VirtualModel]:
    """Change what is named; None empties it."""
    members = {
        "models": models,
        "default_model_entity": default_model_entity,
        "request_middleware": request_middleware,
        "response_middleware": response_middleware,
        "post_response_middleware": post_response_middleware,
        "override_proxy": override_proxy,
        "options": options,
        "project": project,
    }
    return _VIRTUAL_MODELS.patch(scope, workspace, name, members)


def delete(scope: Scope, /, name: str, *, workspace: str | None = None) -> Call[None]:
    """Delete a virtual model."""
    return _VIRTUAL_MODELS.delete(scope, workspace, name)


class VirtualModels(Resource):
    """`client.inference.virtual_models`."""

    create = method(create)
    retrieve = method(retrieve)
    list = list_method(list_)
    patch = method(patch)
    delete = method(delete)


class AsyncVirtualModels(AsyncResource):
    """`client.inference.virtual_models` of the asynchronous client."""

    create = async_method(create)
    retrieve = async_method(retrieve)
    list = async_list_method(list_)
    patch = async_method(patch)
    delete = async_method(delete)

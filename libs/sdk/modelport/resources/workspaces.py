"""Workspaces: what every other resource lives in (docs/wire.md, 3.3)."""

from modelport import paths
from modelport.calls import Call, Filter, parse_as
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
from modelport_contracts.resources.workspaces import Workspace, WorkspaceDeleted

_WORKSPACES = Collection(Workspace, paths.WORKSPACES, None)


def create(scope: Scope, /, *, name: str, description: str | None = None, exist_ok: bool = False) -> Call[Workspace]:
    """Make a workspace."""
    return _WORKSPACES.create(scope, None, {"name": name, "description": description}, exist_ok=exist_ok)


def retrieve(scope: Scope, /, name: str) -> Call[Workspace]:
    """Return a workspace."""
    return _WORKSPACES.retrieve(scope, None, name)


def list_(
    scope: Scope,
    /,
    *,
    filter: Filter | None = None,  # noqa: A002 (the parameter's name on the wire)
    sort: str | None = None,
    page: int | None = None,
    page_size: int | None = None,
) -> ListCall[Workspace]:
    """List workspaces."""
    return _WORKSPACES.list(scope, None, filter=filter, sort=sort, page=page, page_size=page_size)


def update(scope: Scope, /, name: str, *, description: str | None = None) -> Call[Workspace]:
    """Replace a workspace's description."""
    return _WORKSPACES.replace(scope, None, name, {"description": description})


def delete(scope: Scope, /, name: str) -> Call[WorkspaceDeleted]:
    """Delete a workspace and everything in it. `default` and `system` are refused."""
    return Call("DELETE", _WORKSPACES.path(scope, None, name), parse_as(WorkspaceDeleted))


class Workspaces(Resource):
    """`client.workspaces`."""

    create = method(create)
    retrieve = method(retrieve)
    list = list_method(list_)
    update = method(update)
    delete = method(delete)


class AsyncWorkspaces(AsyncResource):
    """`client.workspaces` of the asynchronous client."""

    create = async_method(create)
    retrieve = async_method(retrieve)
    list = async_list_method(list_)
    update = async_method(update)
    delete = async_method(delete)

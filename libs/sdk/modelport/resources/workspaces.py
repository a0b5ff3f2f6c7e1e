"""Workspaces: what every other resource lives in (docs/wire.md, 3.3)."""

from modelport import paths
from modelport.calls import Call, Filter, json_body, list_query, parse_as
from modelport.methods import (
    AsyncResource,
    Resource,
    async_list_method,
    async_method,
    list_method,
    method,
)
from modelport.pages import ListCall, page_of
from modelport.scope import Scope, member
from modelport_contracts.resources.workspaces import Workspace, WorkspaceDeleted


def _path(name: str) -> str:
    return paths.join(paths.WORKSPACES, member(name))


def create(scope: Scope, /, *, name: str, description: str | None = None, exist_ok: bool = False) -> Call[Workspace]:
    """Make a workspace."""
    return Call(
        "POST",
        paths.WORKSPACES,
        parse_as(Workspace),
        body=json_body({"name": name, "description": description}),
        existing=retrieve(scope, name) if exist_ok else None,
    )


def retrieve(scope: Scope, /, name: str) -> Call[Workspace]:
    """Return a workspace."""
    return Call("GET", _path(name), parse_as(Workspace))


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
    return lambda number: Call(
        "GET",
        paths.with_query(
            paths.WORKSPACES,
            list_query(page=number or page, page_size=page_size, sort=sort, filter=filter),
        ),
        page_of(Workspace),
    )


def update(scope: Scope, /, name: str, *, description: str | None = None) -> Call[Workspace]:
    """Replace a workspace's description."""
    return Call("PUT", _path(name), parse_as(Workspace), body=json_body({"description": description}))


def delete(scope: Scope, /, name: str) -> Call[WorkspaceDeleted]:
    """Delete a workspace and everything in it. `default` and `system` are refused."""
    return Call("DELETE", _path(name), parse_as(WorkspaceDeleted))


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

"""Secrets: stored once, named by providers, never shown again (docs/wire.md, 3.3)."""

from modelport import paths
from modelport.calls import UNSET, Call, Unset, json_body, list_query, parse_as, parse_nothing
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
from modelport_contracts.resources.secrets import Secret


def _path(scope: Scope, workspace: str | None, *name: str) -> str:
    return scope.in_workspace(paths.SECRETS, workspace, "secrets", *map(member, name))


def create(
    scope: Scope,
    /,
    *,
    name: str,
    value: str | None = None,
    data: str | None = None,
    description: str | None = None,
    workspace: str | None = None,
    exist_ok: bool = False,
) -> Call[Secret]:
    """Store a secret. `value` and `data` are two names for the same thing; give one.

    With `exist_ok` a secret of that name is returned as it is; its value is not changed.
    """
    if (value is None) == (data is None):
        raise ValueError("give the secret's text as value= (or data=)")
    text = value if value is not None else data
    return Call(
        "POST",
        _path(scope, workspace),
        parse_as(Secret),
        body=json_body({"name": name, "value": text, "description": description}),
        existing=retrieve(scope, name, workspace=workspace) if exist_ok else None,
    )


def retrieve(scope: Scope, /, name: str, *, workspace: str | None = None) -> Call[Secret]:
    """Return what is known of a secret: never its value."""
    return Call("GET", _path(scope, workspace, name), parse_as(Secret))


def list_(
    scope: Scope,
    /,
    *,
    workspace: str | None = None,
    page: int | None = None,
    page_size: int | None = None,
) -> ListCall[Secret]:
    """List secrets; workspace "-" lists those of all workspaces."""
    return lambda number: Call(
        "GET",
        paths.with_query(_path(scope, workspace), list_query(page=number or page, page_size=page_size)),
        page_of(Secret),
    )


def update(
    scope: Scope,
    /,
    name: str,
    *,
    value: str | None = None,
    data: str | None = None,
    description: str | Unset | None = UNSET,
    workspace: str | None = None,
) -> Call[Secret]:
    """Change what is named. A new value is in use by every gateway within a second."""
    if value is not None and data is not None:
        raise ValueError("give the secret's text as value= or data=, not both")
    text = value if value is not None else data
    members = {"value": UNSET if text is None else text, "description": description}
    return Call(
        "PATCH",
        _path(scope, workspace, name),
        parse_as(Secret),
        body=json_body(members, drop="unset"),
    )


def delete(scope: Scope, /, name: str, *, workspace: str | None = None) -> Call[None]:
    """Delete a secret. Gateways stop sending it within a second."""
    return Call("DELETE", _path(scope, workspace, name), parse_nothing)


class Secrets(Resource):
    """`client.secrets`: API keys and the like."""

    create = method(create)
    retrieve = method(retrieve)
    list = list_method(list_)
    update = method(update)
    delete = method(delete)


class AsyncSecrets(AsyncResource):
    """`client.secrets` of the asynchronous client."""

    create = async_method(create)
    retrieve = async_method(retrieve)
    list = async_list_method(list_)
    update = async_method(update)
    delete = async_method(delete)

"""Secrets: stored once, named by providers, never shown again (docs/wire.md, 3.3)."""

from modelport import paths
from modelport.calls import UNSET, Call, Filter, Unset
from modelport.collection import Collection
from modelport.errors import ArgumentError
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
from modelport_contracts.resources.secrets import Secret

_SECRETS = Collection(Secret, paths.SECRETS, "secrets")


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
        raise ArgumentError("give the secret's text as value= (or data=)")
    text = value if value is not None else data
    members = {"name": name, "value": text, "description": description}
    return _SECRETS.create(scope, workspace, members, exist_ok=exist_ok)


def retrieve(scope: Scope, /, name: str, *, workspace: str | None = None) -> Call[Secret]:
    """Return what is known of a secret: never its value."""
    return _SECRETS.retrieve(scope, workspace, name)


def list_(
    scope: Scope,
    /,
    *,
    workspace: str | None = None,
    filter: Filter | None = None,  # noqa: A002 (the parameter's name on the wire)
    sort: str | None = None,
    page: int | None = None,
    page_size: int | None = None,
) -> ListCall[Secret]:
    """List secrets; workspace "-" lists those of all workspaces."""
    return _SECRETS.list(scope, workspace, filter=filter, sort=sort, page=page, page_size=page_size)


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
        raise ArgumentError("give the secret's text as value= or data=, not both")
    text = value if value is not None else data
    members = {"value": UNSET if text is None else text, "description": description}
    return _SECRETS.patch(scope, workspace, name, members)


def delete(scope: Scope, /, name: str, *, workspace: str | None = None) -> Call[None]:
    """Delete a secret. Gateways stop sending it within a second."""
    return _SECRETS.delete(scope, workspace, name)


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

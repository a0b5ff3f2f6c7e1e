"""Secrets: stored once, named by providers, never shown again (docs/wire.md, 3.3)."""

from modelport import paths
from modelport.calls import UNSET, Call, Filter, Unset, parse_as
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
from modelport.runners import AsyncRunner, SyncRunner
from modelport.scope import Scope
from modelport_contracts.resources.secrets import KeyRotation, Secret

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


def rotate_encryption_keys(_: Scope, /) -> Call[KeyRotation]:
    """Wrap every secret's data key under the newest key-encryption key. Values and versions stay as they are.

    The reply says how many it were, and with `success` whether that is all; another call goes on where this one ended.
    """
    return Call("POST", f"{paths.SECRETS}/rotate-encryption-keys", parse_as(KeyRotation))


class SecretsAdmin(Resource):
    """`client.secrets.admin`: of all workspaces at once."""

    rotate_encryption_keys = method(rotate_encryption_keys)


class AsyncSecretsAdmin(AsyncResource):
    """`client.secrets.admin` of the asynchronous client."""

    rotate_encryption_keys = async_method(rotate_encryption_keys)


class Secrets(Resource):
    """`client.secrets`: API keys and the like."""

    def __init__(self, runner: SyncRunner) -> None:
        super().__init__(runner)
        self.admin = SecretsAdmin(runner)

    create = method(create)
    retrieve = method(retrieve)
    list = list_method(list_)
    update = method(update)
    delete = method(delete)


class AsyncSecrets(AsyncResource):
    """`client.secrets` of the asynchronous client."""

    def __init__(self, runner: AsyncRunner) -> None:
        super().__init__(runner)
        self.admin = AsyncSecretsAdmin(runner)

    create = async_method(create)
    retrieve = async_method(retrieve)
    list = async_list_method(list_)
    update = async_method(update)
    delete = async_method(delete)

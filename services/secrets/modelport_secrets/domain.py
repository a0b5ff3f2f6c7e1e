"""Decisions of the secrets service that need no database."""

from modelport_contracts.records import Change, Envelope, SecretRecord, Source, record_key
from modelport_contracts.resources.secrets import BUILT_IN_SECRET
from modelport_kit.errors import ForbiddenError

SOURCE: Source = "secrets"


def check_writable(workspace: str, name: str) -> None:
    """Refuse to change the built-in secret. Raises ForbiddenError."""
    if (workspace, name) == BUILT_IN_SECRET:
        raise ForbiddenError(
            f"{workspace}/{name} is built in and read-only; its value comes from NGC_API_KEY in the environment "
            "of the secrets service"
        )


def marker_key(workspace: str, name: str) -> str:
    """Name a secret's row in the routing table."""
    return record_key("secret", workspace, name)


def marker(workspace: str, name: str, version: int) -> bytes:
    """Build a secret's row in the routing table: that it exists and its version, never its value."""
    return SecretRecord(workspace=workspace, name=name, version=version).payload()


def marker_change(incarnation: str, workspace: str, name: str, version: int) -> Change:
    """Build the change that a snapshot shows for a secret."""
    envelope = Envelope(
        key=marker_key(workspace, name),
        source=SOURCE,
        incarnation=incarnation,
        revision=version,
        operation="put",
    )
    return Change(envelope=envelope, payload=marker(workspace, name, version))


def gone_workspaces(known: dict[str, set[str | None]], living: dict[str, str]) -> list[tuple[str, str | None]]:
    """Return which (workspace, workspace id) no longer exist, of those that secrets are kept for.

    A workspace that was deleted and made again has another id. Rows without an id belong to built-in workspaces,
    which never go.
    """
    return [
        (name, workspace_id)
        for name, ids in known.items()
        for workspace_id in ids
        if workspace_id is not None and living.get(name) != workspace_id
    ]

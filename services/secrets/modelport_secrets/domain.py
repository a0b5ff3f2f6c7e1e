"""Decisions of the secrets service that need no database."""

from collections.abc import Mapping
from typing import Any

from modelport_contracts.records import Change, Envelope, SecretRecord, Source, record_key
from modelport_contracts.resources.audit import OK
from modelport_contracts.resources.secrets import BUILT_IN_SECRET
from modelport_kit.audit import Event, difference, in_full, picture
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


_SHOWN = {"description": in_full, "version": in_full}
"""Of a value the audit trail has its version: another one is another value."""


def _with_version(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": row["description"], "version": row["revision"]}


def created(workspace: str, name: str, description: str | None, version: int) -> Event:
    """Tell that a secret was stored."""
    after = picture({"description": description, "version": version}, _SHOWN)
    return Event("create", "secret", workspace, name, after=after)


def updated(before: Mapping[str, Any], after: Mapping[str, Any]) -> Event:
    """Tell that a secret's row became another."""
    was, now = difference(_with_version(before), _with_version(after), _SHOWN)
    return Event("update", "secret", after["workspace"], after["name"], was, now)


def deleted(row: Mapping[str, Any]) -> Event:
    """Tell that a secret's row is gone."""
    return Event("delete", "secret", row["workspace"], row["name"], before=picture(_with_version(row), _SHOWN))


def set_from_environment(version: int, *, is_set: bool) -> Event:
    """Tell that the built-in secret got another value at the start, or lost it."""
    workspace, name = BUILT_IN_SECRET
    return Event("update", "secret", workspace, name, after={"version": version, "is_set": is_set})


def revealed(workspace: str, name: str, version: int) -> Event:
    """Tell that a value was handed out."""
    return Event("reveal", "secret", workspace, name, after={"version": version}, outcome=OK)


def not_revealed(workspace: str, name: str, code: str) -> Event:
    """Tell that a value was asked for and refused, with the error's code."""
    return Event("reveal", "secret", workspace, name, outcome=code)

"""What the audit trail shows of each kind (docs/audit.md): in full what cannot hold a key, else names only."""

from collections.abc import Mapping
from typing import Any

from modelport_contracts.auth_header import parse_auth_header
from modelport_contracts.resources.audit import Action, AuditKind
from modelport_kit.audit import Event, Shown, difference, in_full, names_only, picture


def _header_of(auth_header_format: str) -> str:
    """Show the header's name: what stands around the placeholder may be half a key."""
    return parse_auth_header(auth_header_format).name


def _full(*names: str) -> Shown:
    return dict.fromkeys(names, in_full)


def _names(*names: str) -> Shown:
    return dict.fromkeys(names, names_only)


_SHOWN: dict[AuditKind, Shown] = {
    "workspace": _full("description"),
    "provider": {
        **_full(
            "project", "description", "host_url", "api_key_secret_name", "enabled_models", "options",
            "model_deployment_id", "status", "status_message", "served_models",
        ),
        **_names(
            "default_extra_headers", "required_extra_headers", "default_extra_body", "required_extra_body",
            "auth_context",
        ),
        "auth_header_format": _header_of,
    },
    "model": {
        **_full(
            "project", "description", "finetuning_type", "fileset", "trust_remote_code", "base_model",
            "backend_format",
        ),
        **_names("spec", "api_endpoint", "adapters", "prompt", "custom_fields", "ownership"),
    },
    "virtual-model": {
        **_full("project", "default_model_entity", "models", "options"),
        **_names("request_middleware", "response_middleware", "post_response_middleware", "override_proxy"),
    },
}  # fmt: skip


def created(kind: AuditKind, row: Mapping[str, Any]) -> Event:
    """Tell that something was made."""
    return Event("create", kind, _workspace(kind, row), row["name"], after=picture(row, _SHOWN[kind]))


def updated(kind: AuditKind, before: Mapping[str, Any], after: Mapping[str, Any], action: Action = "update") -> Event:
    """Tell that something was changed."""
    was, now = difference(before, after, _SHOWN[kind])
    return Event(action, kind, _workspace(kind, after), after["name"], was, now)


def deleted(kind: AuditKind, row: Mapping[str, Any]) -> Event:
    """Tell that something was removed."""
    return Event("delete", kind, _workspace(kind, row), row["name"], before=picture(row, _SHOWN[kind]))


def probed(row: Mapping[str, Any], status: str) -> Event | None:
    """Tell that discovery found a provider usable, or not any more; None for what leads to neither.

    Every probe and every message would flood the trail, and the states on the way are over in seconds.
    """
    if status == row["status"] or status not in {"READY", "ERROR"}:
        return None
    return Event("status", "provider", row["workspace"], row["name"], {"status": row["status"]}, {"status": status})


def _workspace(kind: AuditKind, row: Mapping[str, Any]) -> str:
    workspace: str = row["name"] if kind == "workspace" else row["workspace"]
    return workspace

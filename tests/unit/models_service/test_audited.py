"""What of providers, models and virtual models the audit trail shows (docs/audit.md)."""

import json

import pytest

from modelport_contracts.resources.audit import AuditKind
from modelport_contracts.resources.models import ModelFields
from modelport_contracts.resources.providers import ProviderUpdate
from modelport_contracts.resources.virtual_models import VirtualModelFields
from modelport_models.domain import audited
from modelport_models.domain.audited import _SHOWN

KEY = "hunter2"
PROVIDER = {
    "workspace": "team",
    "name": "openai",
    "host_url": "https://models.example/v1",
    "api_key_secret_name": "openai-key",
    "status": "CREATED",
    "default_extra_headers": {"x-trace": KEY},
    "required_extra_headers": {"x-token": KEY},
    "default_extra_body": {"user": KEY},
    "required_extra_body": {"auth": {"key": KEY}},
    "auth_header_format": f"X-Api-Key: {KEY} {{{{ auth_secret }}}}",
    "auth_context": {"token": KEY},
}
MODEL = {
    "workspace": "team",
    "name": "gpt-4",
    "backend_format": "OPENAI_CHAT",
    "spec": {"key": KEY},
    "api_endpoint": {"url": f"https://{KEY}@models.example"},
    "adapters": [KEY],
    "prompt": KEY,
    "custom_fields": {"key": KEY},
    "ownership": {"owner": KEY},
}
VIRTUAL = {
    "workspace": "team",
    "name": "chat",
    "models": [{"model": "team/gpt-4"}],
    "override_proxy": f"http://{KEY}@p",
}


@pytest.mark.parametrize(("kind", "row"), [("provider", PROVIDER), ("model", MODEL), ("virtual-model", VIRTUAL)])
def test_no_value_that_may_be_a_key_is_shown(kind: AuditKind, row: dict[str, object]) -> None:
    changed = {name: None if name not in {"name", "workspace"} else value for name, value in row.items()}
    events = [
        audited.created(kind, row),
        audited.deleted(kind, row),
        audited.updated(kind, row, changed),
        audited.updated(kind, changed, row),
    ]
    for event in events:
        text = json.dumps([event.before, event.after])
        assert KEY not in text
        assert all(name in text for name in row if name not in {"name", "workspace"}), "that it changed is told"
        assert (event.workspace, event.name) == ("team", row["name"])


def test_a_providers_picture() -> None:
    after = audited.created("provider", PROVIDER).after
    assert after == {
        "host_url": "https://models.example/v1",
        "api_key_secret_name": "openai-key",
        "status": "CREATED",
        "default_extra_headers": ["x-trace"],
        "required_extra_headers": ["x-token"],
        "default_extra_body": ["user"],
        "required_extra_body": ["auth"],
        "auth_header_format": "X-Api-Key",
        "auth_context": ["token"],
    }


def test_every_member_that_a_user_may_set_is_told_of() -> None:
    for kind, fields in (("provider", ProviderUpdate), ("model", ModelFields), ("virtual-model", VirtualModelFields)):
        assert set(fields.model_fields) <= set(_SHOWN[kind])  # type: ignore[index]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("CREATED", "READY", True),
        ("READY", "ERROR", True),
        ("PENDING", "ERROR", True),
        ("ERROR", "READY", True),
        ("CREATED", "PENDING", False),
        ("READY", "READY", False),
        ("ERROR", "ERROR", False),
    ],
)
def test_what_probes_find_is_told_where_it_decides(before: str, after: str, told: bool) -> None:
    event = audited.probed(PROVIDER | {"status": before}, after)
    assert (event is not None) == told
    if event is not None:
        assert (event.action, event.before, event.after) == ("status", {"status": before}, {"status": after})

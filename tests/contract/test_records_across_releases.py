"""Services and gateways of two releases run side by side during an upgrade (docs/propagation.md, rule 9)."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from modelport_contracts.records import (
    SOURCE_OF_KIND,
    Change,
    Envelope,
    IndexEntry,
    ModelRecord,
    ProviderRecord,
    Record,
    RecordedOptions,
    SecretRecord,
    ServedBy,
    TargetRecord,
    VirtualModelRecord,
    WorkspaceRecord,
    record_key,
)
from modelport_contracts.resources.models import Model, ModelCreate, ModelUpdate
from modelport_contracts.resources.providers import Provider, ProviderCreate, ProviderStatusUpdate
from modelport_contracts.resources.secrets import Secret, SecretCreate
from modelport_contracts.resources.virtual_models import VirtualModel, VirtualModelCreate
from modelport_contracts.resources.workspaces import Workspace, WorkspaceCreate
from modelport_contracts.sync import ChangesPage, SnapshotPage

RECORDS: list[Record] = [
    WorkspaceRecord(id="w1", name="team"),
    SecretRecord(workspace="team", name="key", version=7),
    ProviderRecord(
        id="p1",
        workspace="team",
        name="openai",
        host_url="https://h.example",
        status="READY",
        default_extra_body={"a": [1, None, {"b": "ä"}]},
        options=RecordedOptions(connect_timeout_s=1.5),
    ),
    ModelRecord(workspace="team", name="gpt-4", served_by=(ServedBy(provider="team/openai", served_id="gpt-4"),)),
    VirtualModelRecord(
        workspace="team",
        name="fast",
        created=1767261600,
        models=(TargetRecord(model="team/gpt-4", weight=3),),
        options={"retry": {"max_attempts": 2}},
    ),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_come_back_as_they_were(record: Record) -> None:
    assert type(record).model_validate_json(record.payload()) == record


def with_more(value: Any) -> Any:
    """The same with a member that today's readers do not know, on every level a record lays down."""
    if isinstance(value, dict):
        return {**value, "from_a_newer_release": {"any": ["thing"]}}
    return value


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_an_older_reader_ignores_what_it_does_not_know(record: Record) -> None:
    members = json.loads(record.payload())
    for name in ("served_by", "models"):
        if name in members:
            members[name] = [with_more(item) for item in members[name]]
    if isinstance(record, ProviderRecord):
        members["options"] = with_more(members["options"])
    newer = json.dumps(with_more(members))
    assert type(record).model_validate_json(newer) == record


def test_a_newer_envelope_is_read_and_its_payload_left_alone() -> None:
    envelope = Envelope(
        key=record_key("provider", "team", "openai"),
        source="models",
        incarnation="one",
        revision=7,
        operation="put",
        index=(IndexEntry(index="listing/team", field="a"),),
    )
    members = json.loads(envelope.model_dump_json())
    members["index"] = [with_more(entry) for entry in members["index"]]
    payload = b'{"of": "a newer release",\n "spaced": 1.0}'
    message = json.dumps(with_more(members)).encode() + b"\n" + payload
    assert Change.decode(message) == Change(envelope=envelope, payload=payload)


def test_newer_pages_are_read() -> None:
    snapshot = {"incarnation": "one", "revision": 7, "records": [], "next": None}
    assert SnapshotPage.model_validate(with_more(snapshot)).revision == 7
    assert ChangesPage.model_validate(with_more({"incarnation": "one", "revision": 7, "complete": True})).complete


TIMES = {"created_at": "2026-01-01T10:00:00.123456", "updated_at": "2026-01-01T10:00:00.123456"}


@pytest.mark.parametrize(
    ("model", "members"),
    [
        (WorkspaceCreate, {"name": "team"}),
        (SecretCreate, {"name": "key", "value": "v"}),
        (ProviderCreate, {"name": "openai", "host_url": "https://h.example"}),
        (ProviderStatusUpdate, {"served_models": [{"model_entity_id": "a/b", "served_model_name": "c"}]}),
        (ModelCreate, {"name": "gpt-4"}),
        (ModelUpdate, {}),
        (VirtualModelCreate, {"name": "fast", "models": [{"model": "gpt-4"}]}),
        (Workspace, {"id": "w1", "name": "team", **TIMES}),
        (Secret, {"name": "key", "workspace": "team", **TIMES}),
        (
            Provider,
            {"id": "p1", "name": "pp", "workspace": "team", "host_url": "https://h", "status": "READY", **TIMES},
        ),
        (Model, {"id": "m1", "name": "gpt-4", "workspace": "team", **TIMES}),
        (VirtualModel, {"id": "v1", "entity_id": "v1", "name": "fast", "workspace": "team", **TIMES}),
    ],
)
def test_newer_clients_and_services_are_understood(model: type[BaseModel], members: dict[str, Any]) -> None:
    assert model.model_validate(with_more(members)) == model.model_validate(members)


def test_every_kind_has_a_source() -> None:
    assert set(SOURCE_OF_KIND.values()) == {"models", "secrets"}
    assert SOURCE_OF_KIND["secret"] == "secrets"
    assert len(SOURCE_OF_KIND) == len(RECORDS)

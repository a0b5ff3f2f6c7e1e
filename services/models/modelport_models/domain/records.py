"""From rows to the records of the routing table. Rows come as mappings of column names."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from modelport_contracts.names import split_entity
from modelport_contracts.records import (
    MAX_RECORD_BYTES,
    IndexEntry,
    ModelRecord,
    ProviderRecord,
    ServedBy,
    TargetRecord,
    VirtualModelRecord,
    WorkspaceRecord,
    listing_index,
    vendor_index,
    wildcard_index,
)

Row = Mapping[str, Any]
Rendered = tuple[bytes, tuple[IndexEntry, ...]]
WORKSPACE_COLUMNS = ("id", "name")
PROVIDER_COLUMNS = tuple(ProviderRecord.model_fields)
MODEL_COLUMNS = ("workspace", "name", "backend_format")
VIRTUAL_MODEL_COLUMNS = (
    "workspace",
    "name",
    "created_at",
    "autoprovisioned",
    "default_model_entity",
    "models",
    "options",
)
"""The columns that a kind's record is made of: who reads many rows for their records needs no others."""
_REST_OF_A_MODEL = 1024
"""Bytes for what a model's record holds beside who serves it."""
_MOST_OF_ONE = 4096
"""Bytes that one who serves it can take at most: 512 characters of up to 6 bytes, two names, the rest."""


def workspace_record(row: Row) -> Rendered:
    """Render a workspace."""
    return WorkspaceRecord(id=row["id"], name=row["name"]).payload(), ()


def provider_record(row: Row) -> Rendered:
    """Render a provider; its served models are in the models' records."""
    members = {name: row[name] for name in PROVIDER_COLUMNS}
    return ProviderRecord.model_validate(members).payload(), ()


def model_record(row: Row, served: Iterable[tuple[str, str]]) -> Rendered:
    """Render a model. `served` pairs each provider's name with the id it serves the model under."""
    workspace, name = row["workspace"], row["name"]
    serving = tuple(
        ServedBy(provider=f"{workspace}/{provider}", served_id=served_id)
        for provider, served_id in as_many_as_fit(workspace, served)
    )
    record = ModelRecord(workspace=workspace, name=name, backend_format=row["backend_format"], served_by=serving)
    vendor_ids = sorted({item.served_id for item in serving})
    index = tuple(IndexEntry(index=vendor_index(workspace, vendor_id), field=name) for vendor_id in vendor_ids)
    return record.payload(), index


def as_many_as_fit(workspace: str, served: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Cut the list where the record would outgrow the table: discovery must not make a record that is refused.

    What is cut off goes into the status_message of its provider (docs/propagation.md, rule 6).
    """
    ordered = sorted(served)
    room = MAX_RECORD_BYTES - _REST_OF_A_MODEL
    if len(ordered) * _MOST_OF_ONE <= room:
        return ordered
    for position, (provider, served_id) in enumerate(ordered):
        item = ServedBy(provider=f"{workspace}/{provider}", served_id=served_id)
        room -= len(item.model_dump_json().encode()) + 1
        if room < 0:
            return ordered[:position]
    return ordered


def virtual_model_record(row: Row) -> Rendered:
    """Render a virtual model."""
    workspace, name = row["workspace"], row["name"]
    created = int(unix_seconds(row["created_at"]))
    default = row["default_model_entity"]
    record = VirtualModelRecord(
        workspace=workspace,
        name=name,
        created=created,
        autoprovisioned=row["autoprovisioned"],
        default_model_entity=_qualified(default, workspace) if default else None,
        models=tuple(
            TargetRecord.model_validate({**target, "model": _qualified(target["model"], workspace)})
            for target in row["models"] or ()
        ),
        options=row["options"],
    )
    if name.endswith("*"):
        return record.payload(), (IndexEntry(index=wildcard_index(workspace), field=name[:-1]),)
    return record.payload(), (IndexEntry(index=listing_index(workspace), field=name, value=str(created)),)


def _qualified(reference: str, workspace: str) -> str:
    return "/".join(split_entity(reference, workspace))


def unix_seconds(moment: datetime) -> float:
    """Convert naive UTC to Unix seconds."""
    return moment.replace(tzinfo=UTC).timestamp()

"""What the data plane builds once from a record and keeps with the table's entry (Entry.compiled)."""

import json
from dataclasses import dataclass

from modelport_contracts.names import split_entity
from modelport_contracts.records import ModelRecord, VirtualModelRecord, record_key
from modelport_gateway.route.table import Entry


@dataclass(frozen=True, slots=True)
class Serving:
    """One provider of a model."""

    provider_key: str
    served_id: bytes
    """The id by which that provider knows the model, as a JSON string."""


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """A model record, ready to pick from."""

    servings: tuple[Serving, ...]


@dataclass(frozen=True, slots=True)
class CompiledVirtualModel:
    """A virtual model record: its target entities in the order in which they are tried."""

    target_keys: tuple[str, ...]
    created: int


def compiled_model(entry: Entry) -> CompiledModel:
    """Return what a present model entry says."""
    found = entry.compiled
    if not isinstance(found, CompiledModel):
        record = ModelRecord.model_validate_json(entry.payload or b"")
        found = entry.compiled = CompiledModel(
            tuple(
                Serving(
                    record_key("provider", *split_entity(serving.provider, record.workspace)),
                    json.dumps(serving.served_id, ensure_ascii=False).encode(),
                )
                for serving in record.served_by
            )
        )
    return found


def compiled_virtual_model(entry: Entry) -> CompiledVirtualModel:
    """Return what a present virtual model entry says."""
    found = entry.compiled
    if not isinstance(found, CompiledVirtualModel):
        record = VirtualModelRecord.model_validate_json(entry.payload or b"")
        found = entry.compiled = CompiledVirtualModel(target_keys(record), record.created)
    return found


def target_keys(record: VirtualModelRecord) -> tuple[str, ...]:
    """Name the entities behind a virtual model: the default one, else the models by priority, then as listed.

    The smallest priority comes first.
    """
    if record.default_model_entity:
        references = [record.default_model_entity]
    else:
        references = [target.model for target in sorted(record.models, key=lambda target: target.priority)]
    return tuple(record_key("model", *split_entity(reference, record.workspace)) for reference in references)

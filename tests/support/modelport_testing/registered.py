"""Records in a routing table in memory: providers, the models they serve, virtual models, secrets."""

from typing import Any

from modelport_contracts.records import (
    ModelRecord,
    ProviderRecord,
    SecretRecord,
    ServedBy,
    TargetRecord,
    VirtualModelRecord,
    listing_index,
    vendor_index,
)
from modelport_testing.gateway_harness import MemoryTable


def add_provider(table: MemoryTable, url: str, name: str, status: str = "READY", **more: Any) -> None:
    """Register a provider whose host_url is `url` with `/v1`."""
    record = ProviderRecord(
        id=name, workspace="default", name=name, host_url=f"{url}/v1", status=status, generation=1, **more
    )
    table.put(f"provider/default/{name}", record.payload())


def add_model(table: MemoryTable, name: str, *served: tuple[str, str]) -> None:
    """Register a model that is served as (provider, id there)."""
    by = tuple(ServedBy(provider=f"default/{provider}", served_id=served_id) for provider, served_id in served)
    table.put(f"model/default/{name}", ModelRecord(workspace="default", name=name, served_by=by).payload())
    for _, served_id in served:
        table.indexes.setdefault(vendor_index("default", served_id), {})[name] = ""


def add_virtual_model(table: MemoryTable, name: str, default: str | None, *targets: tuple[str, int]) -> None:
    """Register a virtual model with a default entity, or targets as (model, priority)."""
    record = VirtualModelRecord(
        workspace="default",
        name=name,
        created=1_700_000_000,
        default_model_entity=default,
        models=tuple(TargetRecord(model=model, priority=priority) for model, priority in targets),
    )
    table.put(f"virtual-model/default/{name}", record.payload())
    table.indexes.setdefault(listing_index("default"), {})[name] = "1700000000"


def add_secret(table: MemoryTable, name: str, version: int = 1) -> None:
    """Register a secret's marker; its value is the vault's."""
    record = SecretRecord(workspace="default", name=name, version=version)
    table.put(f"secret/default/{name}", record.payload(), version)

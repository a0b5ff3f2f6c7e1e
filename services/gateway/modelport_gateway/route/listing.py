"""`GET .../openai/-/v1/models`: the virtual models that can be called now (docs/wire.md, 3.5)."""

import asyncio
import json
from typing import Any

from modelport_contracts.names import is_name
from modelport_contracts.records import listing_index, record_key
from modelport_gateway.errors import NotFoundError
from modelport_gateway.route.compiled import compiled_model, compiled_virtual_model
from modelport_gateway.route.table import RoutingTable


async def list_models(table: RoutingTable, workspace: str) -> bytes:
    """Return the listing's body. Raises TableAwayError."""
    names = await table.index(listing_index(workspace), "models")
    found = await asyncio.gather(*(_usable(table, workspace, name) for name in sorted(names)))
    return _encode({"object": "list", "data": [model for model in found if model is not None]})


async def show_model(table: RoutingTable, workspace: str, model_id: str) -> bytes:
    """Return one model's body; the id is `workspace/name` or `name`. Raises NotFoundError, TableAwayError."""
    name = model_id.removeprefix(f"{workspace}/")
    model = await _usable(table, workspace, name) if is_name(name) else None
    if model is None:
        raise NotFoundError(
            f"there is no model {model_id[:100]!r} that can be called in workspace {workspace}", code="model_not_found"
        )
    return _encode(model)


async def _usable(table: RoutingTable, workspace: str, name: str) -> dict[str, Any] | None:
    """Describe a virtual model if one of its entities exists and has a provider."""
    entry = await table.get(record_key("virtual-model", workspace, name))
    if not entry.present:
        return None
    virtual_model = compiled_virtual_model(entry)
    for key in virtual_model.target_keys:
        entity = await table.get(key)
        if entity.present and compiled_model(entity).servings:
            return {
                "id": f"{workspace}/{name}",
                "object": "model",
                "created": virtual_model.created,
                "owned_by": workspace,
            }
    return None


def _encode(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

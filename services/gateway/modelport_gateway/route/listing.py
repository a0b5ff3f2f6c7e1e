"""`GET .../openai/-/v1/models`: the virtual models that can be called now (docs/wire.md, 3.5)."""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from modelport_contracts.names import is_name
from modelport_contracts.records import listing_index, record_key
from modelport_gateway.errors import NotFoundError
from modelport_gateway.route.compiled import compiled_model, compiled_virtual_model
from modelport_gateway.route.table import Entry, RoutingTable

_AT_ONCE = 100
"""Models looked up and described before others get their turn on the event loop."""
_REMEMBERED = 64
"""Workspaces whose listing is kept."""


class _Made:
    """A listing's body, and all that it was made from: it holds as long as all of that does."""

    __slots__ = ("body", "names", "used")

    def __init__(self, body: bytes, names: Mapping[str, str], used: dict[str, Entry]) -> None:
        self.body = body
        self.names = names
        self.used = used


class Listings:
    """Answers listings. One that was made is kept until a record or the index that it rests on is doubted."""

    def __init__(self, table: RoutingTable) -> None:
        self._table = table
        self._made: OrderedDict[str, _Made] = OrderedDict()

    async def list_models(self, workspace: str) -> bytes:
        """Return the listing's body. Raises TableAwayError."""
        made = self._made.get(workspace)
        if made is not None and self._still_holds(workspace, made):
            self._made.move_to_end(workspace)
            return made.body
        names = await self._table.index(listing_index(workspace), "models")
        used: dict[str, Entry] = {}
        models: list[dict[str, Any]] = []
        wanted = sorted(names)
        for start in range(0, len(wanted), _AT_ONCE):
            if start:
                await asyncio.sleep(0)
            models += await self._usable(workspace, wanted[start : start + _AT_ONCE], used)
        made = _Made(_encode({"object": "list", "data": models}), names, used)
        if self._still_holds(workspace, made):  # else what it rests on changed meanwhile, or Redis is away
            self._made[workspace] = made
            if len(self._made) > _REMEMBERED:
                self._made.popitem(last=False)
        else:
            self._made.pop(workspace, None)
        return made.body

    async def show_model(self, workspace: str, model_id: str) -> bytes:
        """Return one model's body; the id is `workspace/name` or `name`. Raises NotFoundError, TableAwayError."""
        name = model_id.removeprefix(f"{workspace}/")
        models = await self._usable(workspace, [name], {}) if is_name(name) else []
        if not models:
            raise NotFoundError(
                f"there is no model {model_id[:100]!r} that can be called in workspace {workspace}",
                code="model_not_found",
            )
        return _encode(models[0])

    def _still_holds(self, workspace: str, made: _Made) -> bool:
        # Identity, not `verified`: an entry may be replaced by a newer one without having been doubted itself.
        if self._table.peek_index(listing_index(workspace)) is not made.names:
            return False
        peek = self._table.peek
        return all(peek(key) is entry for key, entry in made.used.items())

    async def _usable(self, workspace: str, names: Sequence[str], used: dict[str, Entry]) -> list[dict[str, Any]]:
        """Describe those virtual models of which one entity exists and has a provider; note what was looked at."""
        keys = [record_key("virtual-model", workspace, name) for name in names]
        records = await self._table.get_many(keys)
        used.update(records)
        virtual_models = {
            name: compiled_virtual_model(records[key])
            for name, key in zip(names, keys, strict=True)
            if records[key].present
        }
        entities = await self._table.get_many(
            list(dict.fromkeys(key for model in virtual_models.values() for key in model.target_keys))
        )
        used.update(entities)
        return [
            {"id": f"{workspace}/{name}", "object": "model", "created": model.created, "owned_by": workspace}
            for name, model in virtual_models.items()
            if any(entities[key].present and compiled_model(entities[key]).servings for key in model.target_keys)
        ]


def _encode(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

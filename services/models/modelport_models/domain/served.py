"""From what a provider lists to model entities (docs/wire.md, 2 and 3.2)."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from modelport_contracts.names import MAX_MODEL_ID, entity_name, entity_name_with_suffix
from modelport_contracts.resources.models import BackendFormat

MAX_SERVED = 2000
"""Models of one provider: registering so many takes the service some seconds, without a pause that others notice."""
_SHOWN = 5
"""Ids or names that a message lists."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which entity each id is, and what a user should know of how that came about."""

    entities: Mapping[str, str]
    """Provider's model id to entity name."""
    notes: tuple[str, ...] = ()


def is_served_id(text: str) -> bool:
    """Say whether a model id can be kept: of a length that an index takes, and nothing in it that text cannot hold."""
    return 0 < len(text) <= MAX_MODEL_ID and text.isprintable()


def assign_entities(
    listed: Iterable[str],
    enabled: list[str] | None,
    workspace: str,
    existing: Mapping[str, str],
    elsewhere: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> Assignment:
    """Name the entities of a provider's models.

    An id that has an entity keeps it. New ids go in order of id; where two normalise alike, the later one gets the
    hash suffix. `elsewhere` has the entities of the workspace's other providers and the ids that are them: the same
    id is the same entity, another id never is. Ids without a valid name are skipped and counted.
    """
    every = set(listed)
    ids = {model_id for model_id in every if is_served_id(model_id)}
    skipped = len(every) - len(ids)
    missing: list[str] = []
    if enabled is not None:
        missing = sorted(set(enabled) - ids)
        ids &= set(enabled)
    cut = len(ids) - MAX_SERVED
    kept = sorted(ids)[:MAX_SERVED]
    entities = {model_id: existing[model_id] for model_id in kept if model_id in existing}
    taken = set(entities.values())
    for model_id in kept:
        if model_id in entities:
            continue
        name = _free_name(model_id, workspace, taken, elsewhere)
        if name is None:
            skipped += 1
            continue
        entities[model_id] = name
        taken.add(name)
    renamed = sum(_has_suffix(model_id, workspace, name) for model_id, name in entities.items())
    notes = []
    if missing:
        notes.append(f"enabled but not listed by the provider: {_some(missing)}")
    if cut > 0:
        notes.append(f"the provider lists more than {MAX_SERVED} models; {cut} are left out")
    if renamed:
        notes.append(f"{renamed} model names were alike and got a suffix")
    if skipped:
        notes.append(f"{skipped} model ids give no valid name and are skipped")
    return Assignment(entities, tuple(notes))


def left_out_note(entities: Collection[str]) -> str:
    """Say that these entities' records have no room to name a provider; nothing where there are none."""
    if not entities:
        return ""
    return (
        f"so many providers serve {_some(sorted(set(entities)))} that the routing table has no room for this one: "
        "calls go to the others, and reach this one through the provider route only"
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def names_to_ask_for(
    listed: Iterable[str], enabled: list[str] | None, workspace: str, existing: Mapping[str, str]
) -> list[str]:
    """Return the entity names that new ids may get: who else has them is to be known before they are assigned."""
    ids = {model_id for model_id in listed if is_served_id(model_id)}
    if enabled is not None:
        ids &= set(enabled)
    kept = sorted(ids)[:MAX_SERVED]
    return [name for model_id in kept if model_id not in existing for name in _names_of(model_id, workspace)]


def _names_of(model_id: str, workspace: str) -> tuple[str, ...]:
    """Return the plain name and that with the suffix; nothing where an id gives no valid name."""
    plain = entity_name(model_id, workspace)
    suffixed = entity_name_with_suffix(model_id, workspace)
    return tuple(name for name in (plain, suffixed) if plain is not None and name is not None)


def _has_suffix(model_id: str, workspace: str, name: str) -> bool:
    plain, suffixed = entity_name(model_id, workspace), entity_name_with_suffix(model_id, workspace)
    return name == suffixed != plain


def _free_name(
    model_id: str, workspace: str, taken: Collection[str], elsewhere: Mapping[str, Collection[str]]
) -> str | None:
    names = [name for name in _names_of(model_id, workspace) if name not in taken]
    for name in names:
        if model_id in elsewhere.get(name, ()):
            return name
    return next((name for name in names if not elsewhere.get(name)), None)


def infer_backend_format(served_id: str) -> str | None:
    """Infer the dialect of a discovered model from its id: Claude models speak Anthropic's."""
    return BackendFormat.ANTHROPIC_MESSAGES.value if "claude" in served_id.lower() else None

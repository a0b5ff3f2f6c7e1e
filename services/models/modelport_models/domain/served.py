"""From what a provider lists to model entities (docs/wire.md, 2 and 3.2)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modelport_contracts.names import entity_name, entity_name_with_suffix
from modelport_contracts.resources.models import BackendFormat

MAX_SERVED = 2000
"""Models of one provider: registering so many takes the service some seconds, without a pause that others notice."""
MAX_SERVED_ID = 512


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which entity each id is, and what a user should know of how that came about."""

    entities: Mapping[str, str]
    """Provider's model id to entity name."""
    notes: tuple[str, ...] = ()


def is_served_id(text: str) -> bool:
    """Say whether a model id can be kept: of a length that an index takes, and nothing in it that text cannot hold."""
    return 0 < len(text) <= MAX_SERVED_ID and text.isprintable()


def assign_entities(
    listed: Iterable[str], enabled: list[str] | None, workspace: str, existing: Mapping[str, str]
) -> Assignment:
    """Name the entities of a provider's models.

    An id that has an entity keeps it. New ids go in order of id; where two normalise alike, the later one gets the
    hash suffix. Ids without a valid name are skipped and counted.
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
    renamed = 0
    for model_id in kept:
        if model_id in entities:
            continue
        name = entity_name(model_id, workspace)
        if name in taken:
            name = entity_name_with_suffix(model_id, workspace)
            renamed += 1
        if name is None or name in taken:
            skipped += 1
            continue
        entities[model_id] = name
        taken.add(name)
    notes = []
    if missing:
        shown = ", ".join(missing[:5]) + (" and more" if len(missing) > 5 else "")
        notes.append(f"enabled but not listed by the provider: {shown}")
    if cut > 0:
        notes.append(f"the provider lists more than {MAX_SERVED} models; {cut} are left out")
    if renamed:
        notes.append(f"{renamed} model names were alike and got a suffix")
    if skipped:
        notes.append(f"{skipped} model ids give no valid name and are skipped")
    return Assignment(entities, tuple(notes))


def infer_backend_format(served_id: str) -> str | None:
    """Infer the dialect of a discovered model from its id: Claude models speak Anthropic's."""
    return BackendFormat.ANTHROPIC_MESSAGES.value if "claude" in served_id.lower() else None

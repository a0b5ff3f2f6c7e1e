"""From a name to the providers that can serve it (docs/wire.md, 3.5). Pure but for the look-ups it is given."""

import re
from collections.abc import Iterator, Sequence

from modelport_contracts.names import MAX_MODEL_ID, is_name
from modelport_contracts.records import record_key, vendor_index
from modelport_gateway.errors import BehindError, NoProviderError, NotFoundError
from modelport_gateway.parse.path import MODEL, PROVIDER, RouteName
from modelport_gateway.pick.choice import Choice, choose
from modelport_gateway.prepare.target import Target, compiled_target
from modelport_gateway.route.compiled import compiled_model, compiled_virtual_model
from modelport_gateway.route.lookup import Lookup

_SHOWN = 100
"""Characters of an unknown model's name that an error repeats."""
_SHOWN_TARGETS = 5
_REVISION = re.compile(rb"models\.([0-9]{1,18})")


def min_revision(wanted: bytes | None) -> int | None:
    """Return the number in an `x-modelport-min-revision` header, 0 without one, None if it is none of ours."""
    if wanted is None:
        return 0
    found = _REVISION.fullmatch(wanted)
    return int(found[1]) if found else None


def resolve_provider(look: Lookup, workspace: str, name: str, loop_line: bytes, at_least: int = 0) -> Target:
    """Find a provider, whatever its status. Raises NotFoundError, BehindError."""
    entry = look.record(record_key("provider", workspace, name))
    if entry.revision < at_least:
        raise BehindError("this gateway has not seen the asked revision of the provider yet; try again")
    if not entry.present:
        raise NotFoundError(
            f"there is no provider {name} in workspace {workspace}; see GET /apis/models/v2/workspaces/"
            f"{workspace}/providers",
            code="provider_not_found",
        )
    return compiled_target(entry, loop_line)


def virtual_model_targets(look: Lookup, workspace: str, name: str) -> tuple[str, ...]:
    """Return the keys of a virtual model's target entities, in the order in which they are tried.

    Raises NotFoundError.
    """
    entry = look.record(record_key("virtual-model", workspace, name))
    if not entry.present:
        raise _no_model(workspace, name)
    return compiled_virtual_model(entry).target_keys


def entity_choices(look: Lookup, keys: Sequence[str], loop_line: bytes) -> Iterator[Choice]:
    """Name who serves model entities, given their records' keys, one after the other; nobody those that are gone."""
    for key in keys:
        entry = look.record(key)
        if entry.present:
            for serving in compiled_model(entry).servings:
                provider = look.record(serving.provider_key)
                if provider.present:
                    yield Choice(compiled_target(provider, loop_line), serving.served_id)


def named_model_targets(look: Lookup, workspace: str, model: str) -> tuple[str, ...]:
    """Return the keys of the entities behind what a body calls its `model`.

    One leading `<workspace>/` goes. What then names a virtual model is that; anything else is tried as a vendor's
    model id, which counts only where one entity of the workspace stands for it. No other workspace is ever reached.
    Raises NotFoundError.
    """
    if len(model) > MAX_MODEL_ID + len(workspace) + 1:
        raise _no_model(workspace, model)  # nothing that long is ever served; it is not looked up, nor remembered
    stem = model.removeprefix(f"{workspace}/")
    if is_name(stem):
        entry = look.record(record_key("virtual-model", workspace, stem))
        if entry.present:
            return compiled_virtual_model(entry).target_keys
    for vendor_id in dict.fromkeys((stem, model)):
        entities = look.index(vendor_index(workspace, vendor_id))
        if len(entities) == 1:
            return (record_key("model", workspace, next(iter(entities))),)
        if entities:
            raise NotFoundError(
                f"model {vendor_id!r} is not clear in workspace {workspace}: it may be "
                f"{', '.join(sorted(entities))}; name one of these",
                code="model_ambiguous",
            )
    raise _no_model(workspace, model)


def find_target(
    look: Lookup, route: RouteName, model: str | None, loop_line: bytes, at_least: int = 0
) -> tuple[Target, bytes | None]:
    """Find who serves a request, and the id by which it knows the model (None on the provider route).

    `model` is what the body names, for the OpenAI route; `at_least` is the provider's wanted revision. Raises
    NotFoundError, BehindError, NoProviderError.
    """
    if route.kind is PROVIDER:
        return resolve_provider(look, route.workspace, route.name, loop_line, at_least), None
    if route.kind is MODEL:
        targets = virtual_model_targets(look, route.workspace, route.name)
    else:
        assert model is not None
        targets = named_model_targets(look, route.workspace, model)
    choice = _first_of_all(look, targets, loop_line) or choose(entity_choices(look, targets, loop_line))
    if choice is None:
        raise _nobody(look, route.workspace, model or route.name, targets)
    return choice.target, choice.served_id


def _first_of_all(look: Lookup, targets: Sequence[str], loop_line: bytes) -> Choice | None:
    """Return the first candidate if it is READY, as it mostly is: `choose` would take it too, 0.5 us later."""
    entry = look.record(targets[0]) if targets else None
    if entry is None or not entry.present:
        return None
    servings = compiled_model(entry).servings
    provider = look.record(servings[0].provider_key) if servings else None
    if provider is None or not provider.present:
        return None
    target = compiled_target(provider, loop_line)
    return Choice(target, servings[0].served_id) if target.ready else None


def _nobody(look: Lookup, workspace: str, model: str, targets: Sequence[str]) -> NoProviderError:
    """Say of each target why it cannot be called, and what to do."""
    called = f"model {model!r} of workspace {workspace}"
    change = f"PATCH /apis/inference-gateway/v2/workspaces/{workspace}/virtual-models/<name>"
    if not targets:
        return NoProviderError(
            f"{called} names no target; give it a default_model_entity or models ({change})", code="no_target"
        )
    reasons = [
        f"{key.removeprefix('model/')} {'has no provider' if look.record(key).present else 'does not exist'}"
        for key in targets[:_SHOWN_TARGETS]
    ]
    more = f" and {len(targets) - _SHOWN_TARGETS} more" if len(targets) > _SHOWN_TARGETS else ""
    return NoProviderError(
        f"{called} has no provider at the moment: {', '.join(reasons)}{more}; register a provider that serves it, or "
        f"name other targets ({change})"
    )


def _no_model(workspace: str, model: str) -> NotFoundError:
    shown = model if len(model) <= _SHOWN else f"{model[:_SHOWN]}..."
    return NotFoundError(
        f"there is no model {shown!r} in workspace {workspace}; see GET /apis/inference-gateway/v2/workspaces/"
        f"{workspace}/openai/-/v1/models",
        code="model_not_found",
    )

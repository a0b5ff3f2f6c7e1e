"""Names of workspaces, secrets, providers, models and virtual models (docs/wire.md, 3.2)."""

import base64
import hashlib
import re
import secrets
from typing import Annotated

from pydantic import AfterValidator

NAME_PATTERN = r"^[a-z](?!.*--)[a-z0-9\-@.+_]{1,62}(?<!-)$"
"""The name rule as clients see it in the OpenAPI description."""

NAME_RULE = (
    "2 to 63 characters: a lower-case letter first, then lower-case letters, digits and - @ . + _; "
    "no -- and no - at the end"
)
MAX_MODEL_ID = 512
"""Characters of a provider's own model id; longer ones are not served."""
ANY_WORKSPACE = "-"
"""The literal that stands for every workspace in a list path."""

_NAME = re.compile(NAME_PATTERN)
_WILDCARD_STEM = re.compile(r"[a-z](?!.*--)[a-z0-9\-@.+_]{0,61}")
_NOT_NAME_CHARACTERS = re.compile(r"[^a-z0-9]+")
_MAX_NAME = 63


def is_name(text: str) -> bool:
    """Say whether `text` is a legal resource name."""
    return _NAME.fullmatch(text) is not None


def is_virtual_model_name(text: str) -> bool:
    """Say whether `text` names a virtual model: a resource name, or a stem that ends in one `*`."""
    if text.endswith("*"):
        return _WILDCARD_STEM.fullmatch(text[:-1]) is not None
    return is_name(text)


def _check_name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"not a valid name; a name has {NAME_RULE}")
    return text


def _check_virtual_model_name(text: str) -> str:
    if not is_virtual_model_name(text):
        raise ValueError(f"not a valid virtual model name; a name has {NAME_RULE}, or ends in one *")
    return text


Name = Annotated[str, AfterValidator(_check_name)]
VirtualModelName = Annotated[str, AfterValidator(_check_virtual_model_name)]


def entity_name(model_id: str, workspace: str) -> str | None:
    """Normalise a provider's model id to an entity name, or None where no valid name results.

    `workspace` is the provider's; one leading `<workspace>/` of the id is dropped (docs/wire.md, 3.2).
    """
    stem = _normalised(model_id, workspace)
    if len(stem) > _MAX_NAME:
        return _with_hash(stem, model_id)
    return stem if is_name(stem) else None


def entity_name_with_suffix(model_id: str, workspace: str) -> str | None:
    """Name an entity whose plain name is taken: the cut name and a short hash of the id."""
    stem = _normalised(model_id, workspace)
    return _with_hash(stem, model_id) if stem else None


def _normalised(model_id: str, workspace: str) -> str:
    text = model_id.removeprefix(f"{workspace}/").lower()
    text = _NOT_NAME_CHARACTERS.sub("-", text).strip("-")
    return f"m-{text}" if text[:1].isdigit() else text


def _with_hash(stem: str, model_id: str) -> str | None:
    digest = hashlib.sha256(model_id.encode()).hexdigest()[:8]
    name = f"{stem[:54].rstrip('-')}-{digest}"
    return name if is_name(name) else None


def split_entity(reference: str, default_workspace: str) -> tuple[str, str]:
    """Split `workspace/name` or `name` into workspace and name."""
    workspace, slash, name = reference.partition("/")
    return (workspace, name) if slash else (default_workspace, reference)


def subject_token(text: str) -> str:
    """Encode a name as one NATS subject token: dots and stars in names would break subjects."""
    return base64.b32encode(text.encode()).decode().rstrip("=").lower()


def new_id(prefix: str) -> str:
    """Make a server-side id such as `model-provider-7Yq2...`: the prefix and 96 random bits."""
    return f"{prefix}-{secrets.token_urlsafe(12).replace('-', 'a').replace('_', 'b')}"

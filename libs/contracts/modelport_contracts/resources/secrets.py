"""Secrets: stored once, never shown again."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, SecretStr, model_validator

from modelport_contracts.json_values import RequestBody
from modelport_contracts.names import Name
from modelport_contracts.resources.workspaces import MAX_DESCRIPTION

BUILT_IN_SECRET = ("system", "ngc-api-key")
"""Workspace and name of the secret that comes from the environment's NGC_API_KEY; read-only."""

MAX_VALUE_BYTES = 32 * 1024


def _check_value(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text:
        raise ValueError("a secret's value must not be empty")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("a secret's value must be Unicode text") from None
    if size > MAX_VALUE_BYTES:
        raise ValueError(f"a secret's value is at most {MAX_VALUE_BYTES} bytes")
    return value


def _check_not_mask(value: SecretStr) -> SecretStr:
    if not set(value.get_secret_value()) - set("*•●"):
        raise ValueError("a value of mask characters only is refused: it would overwrite the secret with its mask")
    return value


SecretValue = Annotated[SecretStr, AfterValidator(_check_value)]
ReplacementValue = Annotated[SecretStr, AfterValidator(_check_value), AfterValidator(_check_not_mask)]
_VALUE_NAMES = ("value", "data")
_EITHER_NAME = AliasChoices(*_VALUE_NAMES)


class Secret(BaseModel):
    """A secret without its value."""

    name: str
    workspace: str
    description: str | None = None
    created_at: datetime
    updated_at: datetime


class SecretCreate(RequestBody):
    """Body of POST. The value may be called `value` or `data` (docs/wire.md, 1)."""

    model_config = ConfigDict(hide_input_in_errors=True)
    members_with_nul = _VALUE_NAMES

    name: Name
    value: SecretValue = Field(validation_alias=_EITHER_NAME)
    description: str | None = Field(default=None, max_length=MAX_DESCRIPTION)


class SecretUpdate(RequestBody):
    """Body of PATCH: only what is named changes. A secret always has a value, so a null one names nothing."""

    model_config = ConfigDict(hide_input_in_errors=True)
    members_with_nul = _VALUE_NAMES

    value: ReplacementValue | None = Field(default=None, validation_alias=_EITHER_NAME)
    description: str | None = Field(default=None, max_length=MAX_DESCRIPTION)

    @model_validator(mode="after")
    def _names_something(self) -> "SecretUpdate":
        if self.value is None and "description" not in self.model_fields_set:
            raise ValueError("nothing to change: give value or description")
        return self


class KeyRotation(BaseModel):
    """Reply to a rotation of encryption keys."""

    rotated_secrets: int
    """How many secrets' data keys this call has wrapped anew."""
    success: bool
    """Whether all are under the newest key now. If not, another call goes on."""


class SecretAccess(BaseModel):
    """Reply to the reveal call, for service credentials with the reveal scope only."""

    name: str
    workspace: str
    value: str = Field(repr=False)

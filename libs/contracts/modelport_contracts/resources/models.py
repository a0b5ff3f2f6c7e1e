"""Model entities: what providers serve, under Modelport's own names."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from modelport_contracts.json_values import RequestBody
from modelport_contracts.names import Name


class BackendFormat(StrEnum):
    """The dialect a model's backend speaks."""

    OPENAI_CHAT = "OPENAI_CHAT"
    ANTHROPIC_MESSAGES = "ANTHROPIC_MESSAGES"


def _refuse_key(key: str | None) -> str | None:
    if key:
        raise ValueError("keys are not kept here; store it as a secret and register a provider that names it")
    return None


class ApiEndpoint(BaseModel):
    """Where a model outside any provider is; kept for the client's sake."""

    model_config = ConfigDict(extra="ignore")

    url: str | None = None
    model_id: str | None = None
    api_key: Annotated[str | None, AfterValidator(_refuse_key)] = None
    format: str | None = None


class ModelFields(BaseModel):
    """What a user may set on a model entity."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    project: str | None = Field(default=None, max_length=255)
    description: str | None = Field(default=None, max_length=4096)
    spec: dict[str, Any] | None = None
    finetuning_type: str | None = None
    fileset: str | None = None
    trust_remote_code: bool | None = None
    base_model: str | None = None
    api_endpoint: ApiEndpoint | None = None
    backend_format: BackendFormat | None = None
    adapters: list[Any] | None = None
    prompt: Any | None = None
    custom_fields: dict[str, Any] | None = None
    ownership: dict[str, Any] | None = None


class Model(ModelFields):
    """A model entity as replies show it."""

    id: str
    name: str
    workspace: str
    model_providers: list[str] | None = None
    """`workspace/provider` of each provider that serves it; discovery keeps it."""
    created_at: datetime
    updated_at: datetime


class ModelCreate(RequestBody, ModelFields):
    """Body of POST."""

    name: Name


class ModelUpdate(RequestBody, ModelFields):
    """Body of PATCH: only what is named changes."""

"""Virtual models: a stable name that applications call, whatever serves it today."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from modelport_contracts.json_values import RequestBody
from modelport_contracts.names import VirtualModelName, is_name
from modelport_contracts.resources.models import BackendFormat

KNOWN_MIDDLEWARE: frozenset[str] = frozenset()
"""Names of middleware that a virtual model may list. Modelport has none; an unknown name is refused (422)."""


def check_entity_reference(reference: str) -> str:
    """Return `reference` if it is `entity` or `workspace/entity`. Raises ValueError."""
    parts = reference.split("/")
    if len(parts) > 2 or not all(is_name(part) for part in parts):
        raise ValueError("a model is named as workspace/entity or entity")
    return reference


EntityReference = Annotated[str, AfterValidator(check_entity_reference)]


class Target(BaseModel):
    """One target. Weight and priority are Modelport's own."""

    model_config = ConfigDict(extra="ignore")

    model: EntityReference
    backend_format: BackendFormat | None = None
    weight: int = Field(default=1, ge=0, le=1000)
    priority: int = Field(default=0, ge=0, le=100)


class Middleware(BaseModel):
    """A named step around the call."""

    model_config = ConfigDict(extra="allow")

    name: str


def _check_middleware(steps: list[Middleware] | None) -> list[Middleware] | None:
    unknown = sorted({step.name for step in steps or ()} - KNOWN_MIDDLEWARE)
    if unknown:
        raise ValueError(f"unknown middleware: {', '.join(unknown)}")
    return steps


MiddlewareList = Annotated[list[Middleware] | None, AfterValidator(_check_middleware)]


class RetryOptions(BaseModel):
    """When another target is tried."""

    model_config = ConfigDict(extra="forbid")

    statuses: list[Annotated[int, Field(ge=400, le=599)]] | None = None
    max_attempts: int | None = Field(default=None, ge=1, le=10)
    budget_s: float | None = Field(default=None, gt=0, le=3600)
    after_processing: bool | None = None
    """The caller accepts that a request which may have been processed is sent again."""


class StickinessOptions(BaseModel):
    """What keeps a caller on one target: a request header, or the body's `user`."""

    model_config = ConfigDict(extra="forbid")

    header: str | None = None
    user: bool | None = None


class MirrorOptions(BaseModel):
    """Where a share of the requests is copied to."""

    model_config = ConfigDict(extra="forbid")

    model: EntityReference
    percent: float = Field(default=100, ge=0, le=100)


class VirtualModelOptions(BaseModel):
    """Modelport's own; a PATCH that omits it keeps it."""

    model_config = ConfigDict(extra="forbid")

    retry: RetryOptions | None = None
    stickiness: StickinessOptions | None = None
    mirror: MirrorOptions | None = None
    replay_limit_bytes: int | None = Field(default=None, ge=0, le=64 * 1024 * 1024)


class VirtualModelFields(BaseModel):
    """What a user may set."""

    model_config = ConfigDict(extra="ignore")

    project: str | None = Field(default=None, max_length=255)
    default_model_entity: EntityReference | None = None
    models: list[Target] | None = None
    request_middleware: MiddlewareList = None
    response_middleware: MiddlewareList = None
    post_response_middleware: MiddlewareList = None
    override_proxy: str | dict[str, Any] | None = None
    options: VirtualModelOptions | None = None


class VirtualModel(VirtualModelFields):
    """A virtual model as replies show it."""

    id: str
    entity_id: str
    parent: str = ""
    name: str
    workspace: str
    autoprovisioned: bool = False
    created_at: datetime
    created_by: str | None = None
    updated_at: datetime
    updated_by: str | None = None


class VirtualModelCreate(RequestBody, VirtualModelFields):
    """Body of POST."""

    name: VirtualModelName


class VirtualModelUpdate(RequestBody, VirtualModelFields):
    """Body of PATCH: only what is named changes."""

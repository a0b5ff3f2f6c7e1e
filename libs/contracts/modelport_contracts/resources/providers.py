"""Model providers: where models are, and how to reach them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from modelport_contracts.auth_header import parse_auth_header
from modelport_contracts.headers import check_extra_headers
from modelport_contracts.json_values import RequestBody
from modelport_contracts.names import Name
from modelport_contracts.records import UpstreamOptions
from modelport_contracts.urls import MAX_HOST_URL, check_host_url


class ProviderStatus(StrEnum):
    """A provider's life; discovery moves between CREATED, PENDING, READY and ERROR."""

    UNKNOWN = "UNKNOWN"
    CREATED = "CREATED"
    PENDING = "PENDING"
    READY = "READY"
    ERROR = "ERROR"
    DELETING = "DELETING"
    DELETED = "DELETED"
    LOST = "LOST"


class ServedModel(BaseModel):
    """A model entity and the id by which the provider knows it."""

    model_entity_id: str
    """`workspace/entity`."""
    served_model_name: str


def _check_auth_header(text: str) -> str:
    parse_auth_header(text)
    return text


HostUrl = Annotated[str, Field(max_length=MAX_HOST_URL), AfterValidator(check_host_url)]
AuthHeaderFormat = Annotated[str, AfterValidator(_check_auth_header)]


class Provider(BaseModel):
    """A provider as replies show it."""

    id: str
    name: str
    workspace: str
    project: str | None = None
    description: str | None = None
    host_url: str
    api_key_secret_name: str | None = None
    enabled_models: list[str] | None = None
    served_models: list[ServedModel] = []
    status: ProviderStatus
    status_message: str = ""
    default_extra_headers: dict[str, str] | None = None
    required_extra_headers: dict[str, str] | None = None
    default_extra_body: dict[str, Any] | None = None
    required_extra_body: dict[str, Any] | None = None
    auth_header_format: str | None = None
    options: UpstreamOptions | None = None
    model_deployment_id: str | None = None
    auth_context: dict[str, Any] | None = None
    created_at: datetime
    updated_at: datetime


class ProviderUpdate(RequestBody):
    """Body of PUT: replaces all of it, save that an omitted `options` is kept."""

    project: str | None = Field(default=None, max_length=255)
    description: str | None = Field(default=None, max_length=4096)
    host_url: HostUrl
    api_key_secret_name: Name | None = None
    enabled_models: list[Annotated[str, Field(min_length=1, max_length=512)]] | None = None
    default_extra_headers: dict[str, str] | None = None
    required_extra_headers: dict[str, str] | None = None
    default_extra_body: dict[str, Any] | None = None
    required_extra_body: dict[str, Any] | None = None
    auth_header_format: AuthHeaderFormat | None = None
    options: UpstreamOptions | None = None
    model_deployment_id: str | None = Field(default=None, max_length=255)
    auth_context: dict[str, Any] | None = None

    def forbidden_headers(self) -> list[str]:
        """Say what is wrong with the extra headers: one line each; the API answers 400 with them."""
        problems = check_extra_headers("default_extra_headers", self.default_extra_headers or {})
        return problems + check_extra_headers("required_extra_headers", self.required_extra_headers or {})


class ProviderCreate(ProviderUpdate):
    """Body of POST."""

    name: Name


class ProviderStatusUpdate(RequestBody):
    """Body of PUT .../status: changes what it names."""

    status: ProviderStatus | None = None
    status_message: str | None = Field(default=None, max_length=4096)
    served_models: list[ServedModel] | None = None
    model_deployment_id: str | None = Field(default=None, max_length=255)

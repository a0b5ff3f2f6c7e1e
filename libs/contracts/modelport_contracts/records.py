"""The rows of the routing table, and the change that carries one row from a service to every gateway.

One record is one row; records name each other and the gateway resolves at look-up (ARCHITECTURE.md, A change
on its way). A service publishes a `Change`: an envelope, which the route sync reads, and a payload, which it
writes to the table byte for byte so that an older gateway in between cannot strip a newer field.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelport_contracts.names import Name

Kind = Literal["workspace", "secret", "provider", "model", "virtual-model"]
Source = Literal["models", "secrets"]
Operation = Literal["put", "delete"]

SOURCES: tuple[Source, ...] = ("models", "secrets")
SOURCE_OF_KIND: Mapping[Kind, Source] = {
    "workspace": "models",
    "provider": "models",
    "model": "models",
    "virtual-model": "models",
    "secret": "secrets",
}
MAX_RECORD_BYTES = 64 * 1024
"""A payload beyond this is refused at the API: the table holds many small rows, never a large one."""


def record_key(kind: Kind, workspace: str, name: str) -> str:
    """Name a row of the routing table, e.g. `provider/default/openai`. Workspace rows repeat their name."""
    return f"{kind}/{workspace}/{name}"


class IndexEntry(BaseModel):
    """One entry of a derived index: a field and its value in the hash called `index`.

    The table script removes the entries of a row's former version and adds those of the new one.
    """

    model_config = ConfigDict(frozen=True)

    index: str
    field: str
    value: str = ""


def listing_index(workspace: str) -> str:
    """Name the index of a workspace's virtual models: field = name, value = creation time in Unix seconds."""
    return f"listing/{workspace}"


def vendor_index(workspace: str, vendor_id: str) -> str:
    """Name the index of the entities that serve a vendor's model id: field = entity name."""
    return f"vendor/{workspace}/{vendor_id}"


def wildcard_index(workspace: str) -> str:
    """Name the index of a workspace's wildcard virtual models: field = stem before the `*`."""
    return f"wildcard/{workspace}"


class Envelope(BaseModel):
    """What the route sync needs to know of a change; it never looks into the payload."""

    model_config = ConfigDict(frozen=True)

    key: str
    source: Source
    incarnation: str
    """Random id of the publishing database, renewed on restore or import."""
    revision: int = Field(ge=0)
    """Commit order within (source, incarnation)."""
    operation: Operation
    index: tuple[IndexEntry, ...] = ()


class PoisonError(ValueError):
    """The envelope of a message cannot be decoded; no retry will change that."""


class Change(BaseModel):
    """One record's new state, or its removal (payload empty)."""

    model_config = ConfigDict(frozen=True)

    envelope: Envelope
    payload: bytes

    def encode(self) -> bytes:
        """Encode as the envelope's JSON on one line, then the payload as it is."""
        return self.envelope.model_dump_json().encode() + b"\n" + self.payload

    @classmethod
    def decode(cls, message: bytes) -> "Change":
        """Decode what `encode` made. Raises PoisonError."""
        head, newline, payload = message.partition(b"\n")
        if not newline:
            raise PoisonError("no envelope line")
        try:
            return cls(envelope=Envelope.model_validate_json(head), payload=payload)
        except ValidationError as error:
            raise PoisonError(f"envelope: {error.error_count()} errors") from error


class Record(BaseModel):
    """Base of the payloads. Unknown members are ignored: a newer service may send more."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def payload(self) -> bytes:
        """Encode for the table."""
        return self.model_dump_json().encode()


class WorkspaceRecord(Record):
    """A workspace that exists."""

    id: str
    name: str


class SecretRecord(Record):
    """A secret's marker: that it exists and which version is current. The value is never here.

    The version is the record's revision (propagation: a secret's version is its revision).
    """

    workspace: str
    name: str
    version: int


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True)

    connect_timeout_s: float | None = None
    first_byte_timeout_s: float | None = None
    idle_timeout_s: float | None = None
    total_timeout_s: float | None = None
    max_concurrency: int | None = None
    max_queue_s: float | None = None
    ca_secret_name: str | None = None


class UpstreamOptions(_Options):
    """A provider's `options`: Modelport's own settings; None means the gateway's default. Times in seconds.

    The gateway looks at its clock ten times a second: nothing shorter can be kept.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    connect_timeout_s: float | None = Field(default=None, ge=0.1, le=3600)
    first_byte_timeout_s: float | None = Field(default=None, ge=0.1, le=86400)
    idle_timeout_s: float | None = Field(default=None, ge=0.1, le=86400)
    total_timeout_s: float | None = Field(default=None, ge=0.1, le=86400)
    max_concurrency: int | None = Field(default=None, ge=1, le=100_000)
    """Requests at a time, per gateway process."""
    max_queue_s: float | None = Field(default=None, ge=0, le=600)
    """How long a request waits where `max_concurrency` are under way; 0 does not wait."""
    ca_secret_name: Name | None = None
    """A secret of the provider's workspace that holds a PEM bundle: the only CAs believed for it."""


class RecordedOptions(_Options):
    """The same in a record, where a newer service may have put more, or allowed more: only the API refuses."""

    model_config = ConfigDict(extra="ignore")


class ProviderRecord(Record):
    """What the gateway needs to reach a provider. served_models are not here: a model's record names them."""

    id: str
    workspace: str
    name: str
    host_url: str
    status: str
    api_key_secret_name: str | None = None
    auth_header_format: str | None = None
    default_extra_headers: dict[str, str] | None = None
    required_extra_headers: dict[str, str] | None = None
    default_extra_body: dict[str, Any] | None = None
    required_extra_body: dict[str, Any] | None = None
    options: RecordedOptions | None = None


class ServedBy(BaseModel):
    """One provider that serves a model, and the id by which that provider knows it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    provider: str
    """`workspace/name`."""
    served_id: str


class ModelRecord(Record):
    """A model entity and who serves it."""

    workspace: str
    name: str
    backend_format: str | None = None
    served_by: tuple[ServedBy, ...] = ()


class TargetRecord(BaseModel):
    """One target of a virtual model."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str
    """`workspace/entity`."""
    backend_format: str | None = None
    weight: int = 1
    priority: int = 0


class VirtualModelRecord(Record):
    """A stable name and the model entities behind it."""

    workspace: str
    name: str
    created: int
    """Unix seconds, as the OpenAI model listing shows it."""
    autoprovisioned: bool = False
    default_model_entity: str | None = None
    models: tuple[TargetRecord, ...] = ()
    options: dict[str, Any] | None = None


def json_text(payload: bytes) -> str:
    """Return a payload as text for a JSON member, refusing what is not JSON. Raises ValueError."""
    json.loads(payload)
    return payload.decode()

"""The Python SDK: `Modelport` and `AsyncModelport`.

from modelport import Modelport

client = Modelport()
client.secrets.create(name="openai-api-key", value=key)
client.inference.providers.create(
    name="openai", host_url="https://api.openai.com/v1", api_key_secret_name="openai-api-key"
)
client.models.wait_for_provider("openai")
"""

from modelport.calls import UNSET
from modelport.client import AsyncModelport, Modelport
from modelport.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigError,
    ConflictError,
    ConnectionFailedError,
    FailedDependencyError,
    InvalidReplyError,
    MissingDependencyError,
    ModelportError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimedOutError,
    ServerError,
    StatusError,
    StreamError,
    UnprocessableError,
    WaitTimeoutError,
)
from modelport.events import AsyncEventStream, Event, EventStream
from modelport.pages import AsyncPage, SyncPage

__all__ = [
    "UNSET",
    "AsyncEventStream",
    "AsyncModelport",
    "AsyncPage",
    "AuthenticationError",
    "BadRequestError",
    "ConfigError",
    "ConflictError",
    "ConnectionFailedError",
    "Event",
    "EventStream",
    "FailedDependencyError",
    "InvalidReplyError",
    "MissingDependencyError",
    "Modelport",
    "ModelportError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "RequestTimedOutError",
    "ServerError",
    "StatusError",
    "StreamError",
    "SyncPage",
    "UnprocessableError",
    "WaitTimeoutError",
]

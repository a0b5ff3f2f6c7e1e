"""The Python SDK: `Modelport` and `AsyncModelport`.

from modelport import Modelport

client = Modelport()
client.secrets.create(name="openai-api-key", value=key)
client.inference.providers.create(
    name="openai", host_url="https://api.openai.com/v1", api_key_secret_name="openai-api-key"
)
client.models.wait_for_provider("openai")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelport.calls import UNSET
    from modelport.client import AsyncModelport, Modelport
    from modelport.errors import (
        ArgumentError,
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
    "ArgumentError",
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

_HOMES = {
    "modelport.calls": ("UNSET",),
    "modelport.client": (
        "AsyncModelport",
        "Modelport",
    ),
    "modelport.errors": (
        "ArgumentError",
        "AuthenticationError",
        "BadRequestError",
        "ConfigError",
        "ConflictError",
        "ConnectionFailedError",
        "FailedDependencyError",
        "InvalidReplyError",
        "MissingDependencyError",
        "ModelportError",
        "NotFoundError",
        "PermissionDeniedError",
        "RateLimitError",
        "RequestTimedOutError",
        "ServerError",
        "StatusError",
        "StreamError",
        "UnprocessableError",
        "WaitTimeoutError",
    ),
    "modelport.events": (
        "AsyncEventStream",
        "Event",
        "EventStream",
    ),
    "modelport.pages": (
        "AsyncPage",
        "SyncPage",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name when it is asked for (PEP 562): `modelport.config` alone needs neither httpx nor pydantic."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""The settings every service has. This module and its subclasses are the only readers of the environment."""

import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from modelport_contracts.egress import EgressAllow
from modelport_kit.redaction import held


class SettingsError(Exception):
    """The environment does not make sense; the message is for the operator, one line a problem."""


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


CommaSeparated = Annotated[list[str], NoDecode, BeforeValidator(_split)]
"""A list that the environment spells with commas."""


InheritedSockets = Annotated[list[int], NoDecode, BeforeValidator(_split)]
"""Numbers of inherited listening sockets, with commas between several."""


def _named(value: object) -> object:
    parts = _split(value)
    if not isinstance(parts, list):
        return value
    if not all("=" in part for part in parts):
        raise ValueError("expected name=value, with commas between several")
    return dict(part.split("=", 1) for part in parts)


CommaSeparatedByName = Annotated[dict[str, str], NoDecode, BeforeValidator(_named)]
"""The same of `name=value`."""


def _egress_allow(value: object) -> object:
    return EgressAllow.parse(parts) if isinstance(parts := _split(value), list) else value


EgressAllowed = Annotated[EgressAllow, NoDecode, BeforeValidator(_egress_allow)]
"""What may be called beside public addresses: networks, addresses and host names with commas between them."""


class ServiceSettings(BaseSettings):
    """What a service needs to start, from `MODELPORT_*` variables."""

    model_config = SettingsConfigDict(env_prefix="MODELPORT_", extra="ignore", hide_input_in_errors=True)

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    listen_fds: InheritedSockets = []
    """Inherited listening sockets; they come before host and port."""
    metrics_host: str = "127.0.0.1"
    """Never that of the service by default: metrics are for the inside (docs/metrics.md)."""
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Where /metrics is served; nowhere without it."""
    metrics_fd: int | None = None
    """An inherited listening socket for /metrics; it comes before host and port."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"
    service_token_file: Path | None = None
    """This service's own token, shown to the others."""
    service_trust_file: Path | None = None
    """The callers this service accepts."""
    shutdown_grace_s: float = Field(default=20, gt=0)
    """Seconds that requests in flight get after SIGTERM."""

    def sockets(self) -> list[socket.socket]:
        """Return the listening sockets: the inherited ones, or a fresh one on host and port."""
        if self.listen_fds:
            return [socket.socket(fileno=fd) for fd in self.listen_fds]
        return [_listen(self.host, self.port, "MODELPORT_HOST or MODELPORT_PORT")]

    def metrics_socket(self) -> socket.socket | None:
        """Return the listening socket for /metrics, None where metrics are not asked for."""
        if self.metrics_fd is not None:
            return socket.socket(fileno=self.metrics_fd)
        if self.metrics_port is None:
            return None
        return _listen(self.metrics_host, self.metrics_port, "MODELPORT_METRICS_HOST or MODELPORT_METRICS_PORT")


def _listen(host: str, port: int, variables: str) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror}; set {variables}") from None


def load(settings: type[ServiceSettings], **overrides: Any) -> Any:
    """Read settings from the environment. Raises SettingsError naming each variable that is wrong."""
    try:
        loaded = settings(**overrides)
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        problems = (
            f"{prefix}{'_'.join(str(part) for part in item['loc'][:1])}".upper() + f": {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)
        )
        raise SettingsError("; ".join(problems)) from None
    # what they hold of secrets is redacted in logs from here on
    for _, value in loaded:
        if isinstance(value, SecretStr):
            held.keep(value.get_secret_value())
        elif isinstance(value, str):
            held.keep_password(value)
    return loaded


def read_secret_file(path: Path | None, variable: str) -> str:
    """Read a one-line secret from a file; no log shows it. Raises SettingsError naming `variable`, not the content."""
    if path is None:
        raise SettingsError(f"{variable} is not set")
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise SettingsError(f"{variable}: cannot read {path}: {reason}") from None
    if not text:
        raise SettingsError(f"{variable}: {path} is empty")
    held.keep(text)
    return text

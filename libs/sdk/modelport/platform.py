"""What the platform says of itself (docs/wire.md, 3.7)."""

from typing import Any

from pydantic import BaseModel


class NotReady(BaseModel):
    """A service that is not ready, and why."""

    name: str
    message: str = ""


class Services(BaseModel):
    """The services by whether they are ready."""

    ready: list[str] = []
    not_ready: list[NotReady] = []


class PlatformStatus(BaseModel):
    """Reply to GET /status."""

    status: str
    services: Services = Services()
    gateways: list[dict[str, Any]] = []
    metrics: dict[str, str] = {}
    """Where processes show their metrics, by name; empty where that is inside a network."""


class ClusterInfo(BaseModel):
    """Reply to GET /cluster-info."""

    platform_version: str
    revision: str | None = None

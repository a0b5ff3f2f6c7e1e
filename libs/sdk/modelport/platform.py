"""What the platform says of itself (docs/wire.md, 3.7)."""

from pydantic import BaseModel


class NotReady(BaseModel):
    """A service that is not ready, and why."""

    name: str
    message: str = ""


class Services(BaseModel):
    """The services by whether they are ready."""

    ready: list[str] = []
    not_ready: list[NotReady] = []


class GatewayState(BaseModel):
    """A gateway process as the one that answers sees it."""

    id: str
    live: bool = True
    """False: it fell silent without leaving, or is cut off from Redis."""
    applied: int | None = None
    """The number of the newest change of the routing table that it acts on; null: it has not the current table."""
    lag: int | None = None
    """How many changes it is behind."""


class PlatformStatus(BaseModel):
    """Reply to GET /status."""

    status: str
    services: Services = Services()
    gateways: list[GatewayState] = []
    metrics: dict[str, str] = {}
    """Where processes show their metrics, by name; empty where that is inside a network."""


class ClusterInfo(BaseModel):
    """Reply to GET /cluster-info."""

    platform_version: str
    revision: str | None = None

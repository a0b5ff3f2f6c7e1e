"""The gateway's settings."""

import socket
from pathlib import Path

from pydantic import Field, SecretStr

from modelport_contracts.egress import EgressAllow
from modelport_kit.settings import (
    CommaSeparated,
    CommaSeparatedByName,
    EgressAllowed,
    InheritedSockets,
    ServiceSettings,
)


class GatewaySettings(ServiceSettings):
    """`MODELPORT_*` variables of the gateway."""

    port: int = Field(default=8080, ge=0, le=65535)
    shared_fds: InheritedSockets = []
    """Inherited listening sockets that other gateways accept from too: this one does once it has joined them
    (docs/propagation.md, rule 22)."""
    models_url: str
    secrets_url: str
    nats_url: str
    redis_url: str
    front_door_token_file: Path | None = None
    """The token shown to the services on behalf of users; unlike the gateway's own it cannot reveal secrets."""
    near_cache: bool = True
    """Off reads Redis literally on every request: the oracle that the near cache is held against."""
    lease: bool = True
    """Off serves what is known without asking, however long Redis was not heard: what the tests of the lease are held
    against."""
    stale_secret_s: float = Field(default=300, ge=0)
    """How long an old value serves after a rotation while the secrets service is away."""
    snapshot_file: Path | None = None
    """Where this gateway keeps what it knows, encrypted, for a start without Redis; nowhere without it."""
    snapshot_key: SecretStr | None = None
    """32 random bytes in base64."""
    snapshot_max_age_s: float = Field(default=24 * 3600, gt=0)
    """What is older is not served. Whoever started that long an outage ago wants a rebuilt platform, not a memory."""
    cors_origins: CommaSeparated = []
    access_log_file: Path | None = None
    """Where the records of inference requests go; standard output without it."""
    lame_duck_s: float = Field(default=3, ge=0)
    """After SIGTERM: readiness says no while requests are still taken, so that an edge looks elsewhere."""
    egress_allow: EgressAllowed = EgressAllow()
    """Where providers may be beside public addresses; nowhere by default. The models service needs the same."""
    ca_file: Path | None = None
    """PEM file of the CAs believed for providers, in place of the system's; providers may name one of their own."""
    gateway_id: str | None = None
    """Names this process in loop detection and /status; made up where not given."""
    metrics_urls: CommaSeparatedByName = {}
    """Where processes show their metrics, with IP addresses: /status tells it, and no provider may be there. The local
    stack fills it in."""

    def shared_sockets(self) -> list[socket.socket]:
        """Return the listening sockets that are shared with other gateways."""
        return [socket.socket(fileno=fd) for fd in self.shared_fds]

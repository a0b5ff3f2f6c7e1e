"""The models service's settings."""

from pydantic import Field

from modelport_contracts.egress import EgressAllow
from modelport_kit.settings import EgressAllowed, ServiceSettings


class ModelsSettings(ServiceSettings):
    """`MODELPORT_*` variables of the models service."""

    database_url: str
    nats_url: str
    secrets_url: str
    gateway_url: str
    """Discovery asks providers through the gateway, so that keys and egress rules live in one place."""
    egress_allow: EgressAllowed = EgressAllow()
    """What the gateways' setting of this name says, so that an address they would refuse is refused at once."""
    migrate_at_start: bool = True
    database_role: str | None = None
    """PostgreSQL's role that the service runs as, for a migration by another one, which then owns the tables."""
    discovery_interval_s: float = Field(default=300, gt=0)
    """Seconds between probes of a provider that is READY."""

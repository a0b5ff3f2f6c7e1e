"""Route sync: changes from NATS into the routing table, and repair of what was lost on the way."""

from modelport_gateway.sync.route_sync import RouteSync
from modelport_gateway.sync.sources import SourceAwayError, SourceClient

__all__ = ["RouteSync", "SourceAwayError", "SourceClient"]

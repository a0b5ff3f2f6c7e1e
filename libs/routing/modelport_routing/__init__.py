"""The routing table in Redis: written by guarded scripts, read through a near cache."""

from modelport_routing.entries import Entry
from modelport_routing.errors import TableAwayError
from modelport_routing.fence import Fence
from modelport_routing.lease import Lease
from modelport_routing.near_cache import NearCache, TableEvent
from modelport_routing.watch import GatewayWatch
from modelport_routing.writer import Outcome, RouteWriter, TableState

__all__ = [
    "Entry",
    "Fence",
    "GatewayWatch",
    "Lease",
    "NearCache",
    "Outcome",
    "RouteWriter",
    "TableAwayError",
    "TableEvent",
    "TableState",
]

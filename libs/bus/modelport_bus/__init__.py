"""The bus: the only package that knows NATS."""

from modelport_bus.bus import Bus, BusCounts, Gate, Handler
from modelport_bus.errors import BusAwayError, BusRefusedError

__all__ = ["Bus", "BusAwayError", "BusCounts", "BusRefusedError", "Gate", "Handler"]

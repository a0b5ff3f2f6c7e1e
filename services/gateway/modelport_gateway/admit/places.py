"""The places that exchanges hold at providers with a limit."""

import asyncio
import math
from typing import Protocol

from modelport_gateway.admit.concurrency import Gate, enter
from modelport_gateway.errors import GatewayError
from modelport_gateway.prepare.target import Target, compiled_target
from modelport_gateway.route.table import RoutingTable
from modelport_routing.errors import TableAwayError


class Visitor(Protocol):
    """Who holds a place: an exchange, which frees it at its end."""

    gate: Gate | None

    def leave_gate(self) -> None: ...


class Places:
    """A gate for each provider that has a limit, by the key of its record."""

    def __init__(self, table: RoutingTable, loop_line: bytes) -> None:
        self._table = table
        self._loop_line = loop_line
        self._gates: dict[str, Gate] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._gates)

    def take(self, visitor: Visitor, target: Target) -> bool:
        """Say whether a request may go to a provider now, as far as its limit goes; if so, it has its place."""
        if target.options is None or target.options.max_concurrency is None:
            visitor.leave_gate()
            return True
        gate = self._gate(target, target.options.max_concurrency)
        if visitor.gate is not gate:
            visitor.leave_gate()
            if not gate.try_enter():
                return False
            visitor.gate = gate
        return True

    async def wait(self, visitor: Visitor, target: Target) -> None:
        """Wait for a place. Raises ProviderBusyError."""
        options = target.options
        assert options is not None
        assert options.max_concurrency is not None
        gate = self._gate(target, options.max_concurrency)
        await enter(gate, target.label, options.max_queue_s)
        visitor.gate = gate

    def tick(self) -> None:
        """Look at the records of providers before which requests wait, and forget gates that nobody uses.

        A limit that is raised while everybody waits would otherwise be noticed by nobody.
        """
        for key, gate in list(self._gates.items()):
            if gate.waiting:
                if key not in self._asking:
                    self._asking[key] = asyncio.get_running_loop().create_task(self._apply_limit(key))
            elif not gate.inside:
                del self._gates[key]

    def close(self) -> None:
        """Ask nothing any more."""
        for task in self._asking.values():
            task.cancel()

    def _gate(self, target: Target, limit: int) -> Gate:
        gate = self._gates.get(target.key)
        if gate is None:
            gate = self._gates[target.key] = Gate(limit)
        elif gate.limit != limit:
            gate.resize(limit)
        return gate

    async def _apply_limit(self, key: str) -> None:
        try:
            entry = await self._table.get(key)
            if entry.present:
                options = compiled_target(entry, self._loop_line).options
                limit = None if options is None else options.max_concurrency
                if key in self._gates:
                    self._gates[key].resize(math.inf if limit is None else limit)
        except (TableAwayError, GatewayError, ValueError):
            return  # what is wrong with the record is told to whoever asks for the provider
        finally:
            del self._asking[key]

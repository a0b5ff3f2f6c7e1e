"""The two loops by which a gateway keeps the routing table: applying changes, and repairing (rules 8, 9, 14)."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence

import structlog

from modelport_bus import Bus
from modelport_contracts.events import ALL_CHANGES, ROUTE_SYNC_CONSUMER
from modelport_contracts.records import Change, Source
from modelport_gateway.sync.reconciler import Reconciler
from modelport_gateway.sync.sources import SourceClient
from modelport_routing import NearCache, Outcome, RouteWriter, TableAwayError, TableEvent

logger = structlog.get_logger(__name__)


class RouteSync:
    """Feeds the routing table. `run_consumer` and `run_reconciler` run until cancelled."""

    def __init__(
        self,
        bus: Bus,
        writer: RouteWriter,
        near_cache: NearCache,
        sources: Sequence[SourceClient],
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._bus = bus
        self._writer = writer
        self.reconcilers: dict[Source, Reconciler] = {
            client.source: Reconciler(client, writer, jitter=jitter) for client in sources
        }
        near_cache.subscribe(self._on_table_event)

    async def run_consumer(self, on_success: Callable[[], None] = lambda: None) -> None:
        """Apply changes as they are published; all gateways share the work."""
        gate = self._writer.wait_available
        await self._bus.consume(ROUTE_SYNC_CONSUMER, ALL_CHANGES, self.apply, gate=gate, on_success=on_success)

    async def run_reconciler(self, turned: Mapping[Source, Callable[[], None]] | None = None) -> None:
        """Rebuild the table where it is missing, and repair it now and then. Each source goes its own pace."""
        await self._check_server()
        async with asyncio.TaskGroup() as tasks:
            for source, reconciler in self.reconcilers.items():
                run = reconciler.run(turned[source]) if turned is not None else reconciler.run()
                tasks.create_task(run, name=f"reconcile {source}")

    async def apply(self, change: Change) -> None:
        """Apply one change. Raises TableAwayError, after which the change comes again.

        A change that the table refuses need not come again: a rebuild that begins later holds it.
        """
        outcome = await self._writer.apply(change)
        if outcome in {Outcome.APPLIED, Outcome.OLD, Outcome.BELOW_FLOOR}:
            return
        reconciler = self.reconcilers.get(change.envelope.source)
        if reconciler is None:
            return
        if outcome is Outcome.OTHER_INCARNATION:
            reconciler.doubt_incarnation()
        else:
            reconciler.wake()

    def _on_table_event(self, event: TableEvent) -> None:
        if event is TableEvent.GAP:
            for reconciler in self.reconcilers.values():
                reconciler.wake()

    async def _check_server(self) -> None:
        while True:
            try:
                problems = await self._writer.check_server()
                break
            except TableAwayError:
                await self._writer.wait_available()
        for problem in problems:
            logger.error("Redis is not set up for the routing table", problem=problem)

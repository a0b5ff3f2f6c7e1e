"""What tests of the route sync hold in their hands: the sources, and the parts of a gateway."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import httpx

from modelport_bus import Bus
from modelport_contracts.records import SOURCES, Source
from modelport_gateway.sync import RouteSync
from modelport_routing import NearCache, RouteWriter
from modelport_testing.polling import eventually
from modelport_testing.sources import RecordSource


@dataclass
class Sources:
    """The sources and the way gateways reach them."""

    models: RecordSource
    secrets: RecordSource
    clients: dict[Source, httpx.AsyncClient]

    async def truth(self) -> dict[str, bytes]:
        return {**await self.models.payloads(), **await self.secrets.payloads()}


class Gateway:
    """The parts of a gateway process that keep and read the table."""

    def __init__(self, sync: RouteSync, cache: NearCache, writer: RouteWriter, bus: Bus) -> None:
        self.sync = sync
        self.cache = cache
        self.writer = writer
        self.bus = bus

    async def whole(self, timeout: float = 5) -> None:
        """Wait until this gateway sees a complete table."""
        await eventually(lambda: self.cache.complete == set(SOURCES), timeout)

    async def shows(self, truth: dict[str, bytes]) -> bool:
        for key, payload in truth.items():
            entry = await self.cache.get(key)
            assert (entry.payload, entry.verified) == (payload, True)
        return True

    async def lacks(self, key: str) -> bool:
        return not (await self.cache.get(key)).present


StartGateway = Callable[[], AbstractAsyncContextManager[Gateway]]

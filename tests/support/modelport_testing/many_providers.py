"""Many providers at once, good, slow and dead ones, and replicas of the models service that share the asking."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
from sqlalchemy import func, select, update

from modelport_contracts.resources.providers import ProviderCreate
from modelport_kit.database.engine import Database
from modelport_models.domain.verdict import MAX_BACKOFF_S
from modelport_models.store import Stores
from modelport_models.store.common import lock_workspaces
from modelport_models.tables import PROVIDER
from modelport_testing.gateways import start_fleet
from modelport_testing.journeys import GATEWAY
from modelport_testing.polling import eventually
from modelport_testing.postgres import PostgresServer
from modelport_testing.running import free_port
from modelport_testing.services import Service

GOOD_S = 0.3
"""As a provider far away takes: one replica's first lane is full then, and the other has its share to do."""
SLOW_S = 5.0
"""Beyond the first lane's patience, within the second's (docs/propagation.md, rule 26)."""
_LISTING = b'{"object":"list","data":[{"id":"model-of-%s"}]}'


class ManyProviders:
    """One server that is a provider at every path: `/good-1`, `/slow-1`; a `/dead-1` never answers."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        """How often each was asked for its models."""
        self.doubled: set[str] = set()
        """Those that were asked while they had not answered a former question."""
        self._open: Counter[str] = Counter()
        self.port = 0

    def host_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                name = head.split(b" ", 2)[1].split(b"/")[1]
                with self._asking(name.decode()):
                    if name.startswith(b"dead"):
                        await reader.read()  # until the other side gives up
                        break
                    await asyncio.sleep(SLOW_S if name.startswith(b"slow") else GOOD_S)
                body = _LISTING % name
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                    % (len(body), body)
                )
                await writer.drain()

    @contextlib.contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        self.asked[name] += 1
        self._open[name] += 1
        if self._open[name] > 1:
            self.doubled.add(name)
        try:
            yield
        finally:
            self._open[name] -= 1


@contextlib.asynccontextmanager
async def many_providers() -> AsyncIterator[ManyProviders]:
    """Serve them."""
    many = ManyProviders()
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        task.add_done_callback(connections.discard)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await many.serve(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    many.port = server.sockets[0].getsockname()[1]
    try:
        yield many
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await asyncio.sleep(0)  # a transport closes its socket in the loop's next turn


@dataclass
class DiscoveryFigures:
    """From the moment all are due."""

    good: int
    slow: int
    dead: int
    all_good_s: float = 0.0
    all_slow_s: float = 0.0
    asked: dict[str, int] = field(default_factory=dict)
    """How often all providers of a sort were asked until then, together."""
    good_doubled: int = 0
    """How many good ones had two questions to answer at a time."""
    by_replica: list[int] = field(default_factory=list)
    """Whose probes they were."""


async def discover(folder: Path, postgres: PostgresServer, good: int, slow: int, dead: int) -> DiscoveryFigures:
    """Make them all due at once, with two replicas, and watch."""
    figures = DiscoveryFigures(good, slow, dead)
    names = [f"{sort}-{at}" for sort, count in (("good", good), ("slow", slow), ("dead", dead)) for at in range(count)]
    names.sort(key=lambda name: name.rpartition("-")[2])
    async with many_providers() as many:
        with contextlib.ExitStack() as stack:
            fleet = await asyncio.to_thread(stack.enter_context, start_fleet(folder, 1, postgres=postgres))
            first = fleet.services["models"]
            await asyncio.to_thread(first.stop)
            database = Database(first.environment["MODELPORT_DATABASE_URL"], "models")
            stores = Stores(database, lambda: datetime.now(UTC).replace(tzinfo=None))
            for name in names:
                body = ProviderCreate.model_validate({"name": name, "host_url": many.host_url(name)})
                await stores.providers.create("default", body)
            # no later than anybody plans: that would count as due (ProbeStore.claim_due)
            await _all_due(database, time.time() + 2 * MAX_BACKOFF_S)
            replicas = []
            for number in (1, 2):
                environment = {
                    **first.environment,
                    "MODELPORT_GATEWAY_URL": fleet[0].url,
                    "MODELPORT_PORT": str(port := free_port()),
                }
                own = folder / f"replica-{number}"
                own.mkdir()
                replicas.append(replica := Service("models", own, port, environment))
                stack.callback(replica.close)
                await asyncio.to_thread(replica.start)
            last = names[-1]
            await eventually(lambda: _knows(fleet[0].url, last), 30)
            many.asked.clear()
            many.doubled.clear()
            began = time.monotonic()
            await _all_due(database, 0)
            await eventually(lambda: _ready(database, "good", good), 60, interval=0.1)
            figures.all_good_s = time.monotonic() - began
            await eventually(lambda: _ready(database, "slow", slow), 60, interval=0.1)
            figures.all_slow_s = time.monotonic() - began
            for sort in ("good", "slow", "dead"):
                figures.asked[sort] = sum(count for name, count in many.asked.items() if name.startswith(sort))
            figures.good_doubled = sum(name.startswith("good") for name in many.doubled)
            figures.by_replica = [replica.log().count("provider probed") for replica in replicas]
            await database.close()
    return figures


async def _all_due(database: Database, at: float) -> None:
    async with database.write() as write:
        await lock_workspaces(write.connection, ["default"])  # as every writer of many rows
        mine = PROVIDER.c.workspace == "default"
        await write.execute(update(PROVIDER).where(mine).values(next_probe_at=at, probe_claimed_until=0))


async def _ready(database: Database, sort: str, count: int) -> bool:
    statement = select(func.count()).where(PROVIDER.c.name.startswith(f"{sort}-"), PROVIDER.c.status == "READY")
    async with database.read() as connection:
        return (await connection.execute(statement)).scalar_one() == count


async def _knows(url: str, name: str) -> bool:
    return await asyncio.to_thread(lambda: _status_of(url, name) != "provider_not_found")


def _status_of(url: str, name: str) -> str:
    answer = httpx.get(f"{url}{GATEWAY}/default/provider/{name}/ready", timeout=10)
    return "" if answer.status_code == httpx.codes.OK else str(answer.json()["error"]["code"])

"""The truth and its copies in one process, for tests that order every step themselves.

Real: the databases with their outbox and internal interface, the sweep of the outbox, Valkey with the scripts, the
reconcilers and the writing side of two gateways, a near cache. Between them lies what the bus may do at its worst:
each message once, never, late, out of order or again.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from redis.asyncio import Redis

from modelport_bus import Bus
from modelport_contracts.errors import SERVICE_TOKEN_HEADER
from modelport_contracts.records import SOURCES, Change, Envelope, IndexEntry, Source, listing_index
from modelport_gateway.sync import RouteSync, SourceAwayError, SourceClient
from modelport_gateway.sync.reconciler import StartOverError
from modelport_kit.database.outbox import OutboxPublisher
from modelport_kit.database.restored import compare_with_stream
from modelport_routing import NearCache, RouteWriter, TableAwayError, keys
from modelport_routing.rows import Verdict, judge, parse_row
from modelport_testing.polling import eventually
from modelport_testing.servers import ValkeyServer
from modelport_testing.sources import TOKEN, RecordSource, app_of

PAGE = 2
_TRIES = 60

Step = Callable[[], Awaitable[None]]


class Killed(BaseException):
    """Ends a gateway's work where it stands."""


class Wire:
    """One source's side of the bus."""

    def __init__(self) -> None:
        self.stream: list[Change] = []
        """All that was ever stored."""
        self.waiting: list[Change] = []
        self.confirms = True
        """Else it stores and does not say so."""

    async def __call__(self, change: Change) -> None:
        self.stream.append(change)
        self.waiting.append(change)
        if not self.confirms:
            raise ConnectionError("no confirmation")

    async def newest(self) -> Envelope | None:
        return self.stream[-1].envelope if self.stream else None


class SteppedClient(httpx.AsyncBaseTransport):
    """A gateway's way to a source: before each reply one of the steps laid out for it happens."""

    def __init__(self, source: RecordSource) -> None:
        self._inner = httpx.ASGITransport(app_of(source))
        self.steps: list[Step] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.steps:
            await self.steps.pop(0)()
        return await self._inner.handle_async_request(request)


class GatewaySide:
    """The part of a gateway that writes the table."""

    def __init__(self, valkey: ValkeyServer, sources: dict[Source, RecordSource]) -> None:
        self.writer = RouteWriter(valkey.url, timeout_s=5)
        self.ways = {name: SteppedClient(source) for name, source in sources.items()}
        self._clients = [
            httpx.AsyncClient(transport=way, base_url="http://source", headers={SERVICE_TOKEN_HEADER: TOKEN})
            for way in self.ways.values()
        ]
        named = zip(self.ways, self._clients, strict=True)
        # neither the bus nor the near cache is started: changes are handed over by the test
        self.sync = RouteSync(
            Bus("nats://127.0.0.1:1", name="never"),
            self.writer,
            NearCache(valkey.url),
            [SourceClient(name, http, page=PAGE) for name, http in named],
            jitter=lambda: 0.5,
        )

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()
        await self.writer.close()


class Copies:
    """Sources, table, gateways, and one near cache that reads."""

    def __init__(self, valkey: ValkeyServer, folder: Path, urls: dict[Source, str]) -> None:
        self.valkey = valkey
        self.sources = {name: RecordSource(name, folder, url=urls.get(name, "")) for name in SOURCES}
        self.wires = {name: Wire() for name in SOURCES}
        self.gateways: list[GatewaySide] = []
        self._redis = Redis.from_url(valkey.url, protocol=2)
        self._cache = NearCache(valkey.url)
        self._ahead = 0.0

    async def __aenter__(self) -> Self:
        await self._redis.flushall()
        await self._redis.save()  # else a restart would load what another test saved
        for source in self.sources.values():
            await source.create()
        self.gateways = [GatewaySide(self.valkey, self.sources) for _ in range(2)]
        await self._cache.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._cache.close()
        for gateway in self.gateways:
            await gateway.close()
        await self._redis.aclose()
        for source in self.sources.values():
            await source.drop()
            await source.database.close()

    async def put(self, key: str, text: str) -> None:
        """Commit a record, and die before it is published; the sweep of another process will find it."""
        _, workspace, _ = key.split("/", 2)
        index = [IndexEntry(index=listing_index(workspace), field=key, value=text)]
        await self._owner(key).put(key, text=text, index=index)

    async def remove(self, key: str) -> None:
        """Commit a removal, and die."""
        await self._owner(key).remove(key)

    def _owner(self, key: str) -> RecordSource:
        return self.sources[keys.source_of(key)]

    async def sweep(self, name: Source, *, confirms: bool = True) -> None:
        """Publish what waits in a source's outbox."""
        self._ahead += 10
        wire = self.wires[name]
        wire.confirms = confirms
        publisher = OutboxPublisher(self.sources[name].database, wire, clock=lambda: time.time() + self._ahead)
        await publisher.sweep()
        wire.confirms = True

    async def deliver(self, change: Change, gateway: int) -> None:
        """Hand a change to a gateway as the consumer does: one that fails comes again."""
        for _ in range(_TRIES):
            try:
                return await self.gateways[gateway].sync.apply(change)
            except TableAwayError:
                await self.gateways[gateway].writer.wait_available()
        raise AssertionError("the table stays away")

    async def make_due(self) -> None:
        """Let the time pass after which tables are compared and caught up with."""
        names = [name async for name in self._redis.scan_iter(match=f"{keys.LOCK_PREFIX}*")]
        if names:
            await self._redis.delete(*names)

    async def turn(self, gateway: int, name: Source, steps: list[Step]) -> bool:
        """Let a gateway do what is due for a source; `steps` happen before the replies it gets. Says if it ended."""
        side = self.gateways[gateway]
        side.ways[name].steps = steps
        try:
            await side.sync.reconcilers[name].turn()
        except (SourceAwayError, TableAwayError, StartOverError, Killed):
            return False
        finally:
            side.ways[name].steps = []
        return True

    async def flush(self) -> None:
        await self._redis.flushall()

    async def dump(self) -> None:
        """Have Valkey write its file, which it will load when it is started again."""
        await self._redis.save()

    async def restart_valkey(self) -> None:
        """Kill Valkey and start it: on its last dump if there is one, else empty."""
        await asyncio.to_thread(self.valkey.kill)
        await asyncio.to_thread(self.valkey.start)
        await self._redis.connection_pool.disconnect()

    async def restore(self, name: Source, backup: dict[str, list[dict[str, Any]]]) -> None:
        """Stop a service, restore its database, start it; and a gateway asks how it is before it is written to."""
        await self.sources[name].restore(backup)
        await compare_with_stream(self.sources[name].database, self.wires[name].newest)
        await self.make_due()
        for _ in range(_TRIES):
            if await self.turn(0, name, []):
                return
            await self.gateways[0].writer.wait_available()
        raise AssertionError("no gateway could ask")

    async def truth(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for source in self.sources.values():
            found |= await source.payloads()
        return found

    async def verdicts(self, wanted: list[str]) -> dict[str, Verdict]:
        """Judge keys as a reader of the table would at this moment."""
        if not wanted:
            return {}
        marks = [keys.complete(keys.source_of(key)) for key in wanted]
        rows = [keys.row(key) for key in wanted]
        run_id = (await self._redis.info("server"))["run_id"]
        epoch, *values = await self._redis.mget([keys.EPOCH, *marks, *rows])
        assert isinstance(epoch, bytes | None)
        found = {}
        for key, mark, raw in zip(wanted, values[: len(wanted)], values[len(wanted) :], strict=True):
            assert isinstance(mark, bytes | None)
            assert isinstance(raw, bytes | None)
            row = None if raw is None else parse_row(raw)
            found[key] = judge(_text(epoch), _text(mark), row, run_id)
        return found

    async def make_whole(self, *, compare: bool) -> None:
        """Let the gateways work until the table is whole; with `compare` they also compare it with the sources."""
        if compare:
            await self.make_due()
        for name in SOURCES:
            for attempt in range(_TRIES):
                await self._release_rebuilds()
                gateway = attempt % len(self.gateways)
                ended = await self.turn(gateway, name, [])
                with contextlib.suppress(TableAwayError):
                    if ended and (await self.gateways[gateway].writer.state()).is_complete(name):
                        break
            else:
                raise AssertionError(f"{name}: the table does not become whole")
        # the second source may have had to begin the table anew
        state = await self.gateways[0].writer.state()
        if not all(state.is_complete(name) for name in SOURCES):
            await self.make_whole(compare=compare)

    async def _release_rebuilds(self) -> None:
        await self._redis.delete(*(keys.lock(f"rebuild:{name}") for name in SOURCES))

    async def check(self, all_keys: list[str]) -> None:
        """The near cache shows the truth, the whole truth and nothing else."""
        truth = await self.truth()

        async def shown() -> bool:
            assert self._cache.complete == set(SOURCES)
            for key in all_keys:
                entry = await self._cache.get(key)
                assert entry.verified, key
                assert (entry.payload if entry.present else None) == truth.get(key), key
            listed = await self._cache.index(listing_index("default"), "models")
            assert set(listed) == {key for key in truth if "/default/" in key}, "the listing"
            return True

        # a push may still be on its way; what does not come right by itself stays wrong
        await eventually(shown, 2, ignoring=(TableAwayError,))


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode()

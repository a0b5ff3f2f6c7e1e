"""Fences, records and who has applied what, against a real server (docs/propagation.md, rules 17 to 22)."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from modelport_routing import (
    Entry,
    Fence,
    GatewayWatch,
    Lease,
    NearCache,
    RouteWriter,
    TableAwayError,
    TableEvent,
    keys,
)
from modelport_routing.connection import Connection
from modelport_routing.fence import BEAT_S, Applied
from modelport_routing.fleet import GENERATION, LIVE_S, SETTLED, GatewayRecord
from modelport_testing.polling import eventually
from modelport_testing.servers import ValkeyServer
from modelport_testing.tables import delete, open_table, put
from modelport_testing.tcp_proxy import start_proxy

KEY = "provider/default/openai"


class Process:
    """What a gateway process has of the table."""

    def __init__(self, url: str, gateway_id: str = "one", fence: type[Fence] = Fence) -> None:
        self.cache = NearCache(url)
        self.lease = Lease()
        self.fence = fence(self.cache, self.lease, gateway_id=gateway_id)
        self.watch = GatewayWatch(url, boot_id=self.fence.boot_id)

    async def __aenter__(self) -> "Process":
        await self.cache.start()
        await self.watch.__aenter__()
        await eventually(lambda: self.fence.has_joined, 10)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.fence.leave()
        await self.watch.__aexit__(None, None, None)
        await self.cache.close()

    async def yes(self, revision: int, *, wait_s: float = 0.0) -> bool:
        return (await self.watch.applied(KEY, revision, wait_s=wait_s))[1]

    async def settled(self) -> None:
        """Wait until this process knows that it sees all records."""
        await eventually(lambda: self.watch.fleet.is_settled, 10)


@pytest.fixture
async def one(valkey: ValkeyServer, writer: RouteWriter, redis: Redis) -> AsyncIterator[Process]:
    await open_table(writer)
    async with Process(valkey.url) as process:
        # As if another gateway had watched the records for long enough.
        roster = keys.gateways(process.cache.run_id)
        await redis.hset(roster, SETTLED, await redis.hget(roster, GENERATION))
        await process.settled()
        yield process


class Scripted:
    """The record of another gateway, written by hand."""

    def __init__(self, redis: Redis, one: Process) -> None:
        self._redis = redis
        self._one = one
        self._beat = 0

    async def says(self, head: int) -> None:
        self._beat += 1
        record = GatewayRecord("other", "other", self._beat, self._one.cache.epoch, head)
        await self._redis.hset(keys.gateways(self._one.cache.run_id), "other", record.encode())


async def head(redis: Redis) -> int:
    return int(await redis.get(keys.HEAD) or 0)


# The fence


async def test_a_change_is_acknowledged_at_once(one: Process, writer: RouteWriter, redis: Redis) -> None:
    delays = []
    for revision in range(1, 30):
        began = time.monotonic()
        await writer.apply(put(KEY, revision))
        assert await one.yes(revision, wait_s=10)
        delays.append(time.monotonic() - began)
        assert one.cache.peek(KEY) is None, "what it knew is in doubt"
        await one.cache.get(KEY)
    assert one.fence.applied == Applied(one.cache.epoch, await head(redis))
    assert sorted(delays)[15] < BEAT_S / 2, delays


async def test_it_beats(one: Process) -> None:
    beats = one.fence.fences
    until = one.lease.until
    await eventually(lambda: one.fence.fences >= beats + 3, 10)
    assert one.lease.until > until
    assert one.lease.holds()


async def test_many_changes_share_fences(one: Process, writer: RouteWriter) -> None:
    before, began = one.fence.fences, time.monotonic()
    for block in range(10):
        await asyncio.gather(*(writer.apply(put(f"{KEY}-{n}", block + 1)) for n in range(200)))
    await writer.apply(put(KEY, 99))
    assert await one.yes(99, wait_s=10)
    assert one.fence.fences - before <= (time.monotonic() - began) / 0.005 + 2


class Witness(Fence):
    """Notes what its cache still trusts at the moment when a fence says what is applied."""

    known: Any = None

    def _on_tracking(self, connection: Connection, reached: Applied, reply: Any) -> None:
        super()._on_tracking(connection, reached, reply)
        if self.known is not None:
            self.known(reached)


class Pipelined(Witness):
    """A fence that sends both commands at once: what the test must find out."""

    def _begin(self) -> None:
        connection = self._cache.connection
        if connection is None:
            return
        self._running, self._sent_at = connection, self._clock()
        reached: list[Applied] = []

        def on_head(reply: Any) -> None:
            if not isinstance(reply, Exception):
                reached.append(Applied((reply[0] or b"").decode(), int(reply[1] or 0)))

        def on_tracking(reply: Any) -> None:
            if not isinstance(reply, Exception):
                self._on_tracking(connection, reached[0], reply)

        connection.send(on_head, "MGET", keys.EPOCH, keys.HEAD)
        connection.send(on_tracking, "CLIENT", "TRACKINGINFO")


async def premature(valkey: ValkeyServer, writer: RouteWriter, fence: type[Fence]) -> int:
    """Count fences that say a change is applied while the cache still trusts what was before it."""
    await open_table(writer)
    async with Process(valkey.url, fence=fence) as process:
        found = 0

        def look(reached: Applied) -> None:
            nonlocal found
            entry = process.cache.peek(KEY)
            found += entry is not None and entry.seq < reached.head and entry.revision < revision

        for revision in range(1, 21):
            await writer.apply(put(KEY, revision - 1)) if revision > 1 else None
            await process.cache.get(KEY, min_revision=revision - 1)
            await eventually(lambda: process.cache.peek(KEY) is not None)
            assert isinstance(process.fence, Witness)
            process.fence.known = look
            valkey.pause()
            # Write and fence wait in their sockets; the server takes both in one turn of its loop.
            writing = asyncio.ensure_future(writer.apply(put(KEY, revision)))
            await asyncio.sleep(0.005)
            process.fence.want()
            await asyncio.sleep(0.01)
            valkey.resume()
            await writing
            await eventually(lambda: process.cache.peek(KEY) is None)
            process.fence.known = None
        return found


async def test_a_fence_is_never_ahead_of_its_pushes(valkey: ValkeyServer, writer: RouteWriter) -> None:
    assert await premature(valkey, writer, Witness) == 0


async def test_a_pipelined_fence_would_be(valkey: ValkeyServer, writer: RouteWriter) -> None:
    assert await premature(valkey, writer, Pipelined) > 0


async def test_without_tracking_nothing_is_acknowledged(one: Process, redis: Redis) -> None:
    connection = one.cache.connection
    assert connection is not None
    await connection.call("CLIENT", "TRACKING", "OFF")
    # It connects anew, and acknowledges again.
    await eventually(lambda: one.cache.connection not in {None, connection} and one.fence.applied is not None, 10)


async def test_a_full_redis_leaves_a_gateway_serving_and_uncounted(
    valkey: ValkeyServer, writer: RouteWriter, redis: Redis
) -> None:
    await open_table(writer)
    await writer.apply(put(KEY, 1))
    await redis.config_set("maxmemory", "1")
    async with Process(valkey.url) as process:
        assert not process.lease.holds()
        assert not await process.lease.renew()
        assert process.lease.goes_without()
        assert (await process.cache.get(KEY)).revision == 1
        assert await redis.hlen(keys.gateways(process.cache.run_id)) == 0
        await redis.config_set("maxmemory", "0")
        await eventually(process.lease.holds, 10)


# Applied


async def test_every_live_gateway_counts(one: Process, writer: RouteWriter, redis: Redis) -> None:
    other = Scripted(redis, one)
    await writer.apply(put(KEY, 1))
    await other.says(await head(redis))
    assert await one.yes(1, wait_s=5)
    await writer.apply(put(KEY, 2))
    await eventually(lambda: one.fence.applied is not None and one.fence.applied.head == 2)
    progress, done = await one.watch.applied(KEY, 2)
    assert not done
    assert progress.lacking == ("other",)
    waiting = asyncio.ensure_future(one.yes(2, wait_s=20))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    began = time.monotonic()
    await other.says(await head(redis))
    assert await waiting
    assert time.monotonic() - began < BEAT_S / 2, "woken, not found by looking now and then"


async def test_who_falls_silent_is_not_waited_for_for_ever(one: Process, writer: RouteWriter, redis: Redis) -> None:
    other = Scripted(redis, one)
    began = time.monotonic()
    await other.says(await head(redis))
    await writer.apply(put(KEY, 1))
    assert await one.yes(1, wait_s=20)
    assert time.monotonic() - began >= LIVE_S
    assert [record.gateway_id for record in one.watch.fleet.gone] == ["other"]
    # It is back: it counts at once.
    await writer.apply(put(KEY, 2))
    await other.says(await head(redis) - 1)
    await eventually(lambda: one.fence.applied is not None and one.fence.applied.head == 2)
    assert not await one.yes(2)


async def test_who_leaves_is_not_waited_for(
    valkey: ValkeyServer, one: Process, writer: RouteWriter, redis: Redis
) -> None:
    async with Process(valkey.url, "leaving") as other:
        await eventually(lambda: len(one.watch.fleet.live) == 2)
        assert await other.yes(0, wait_s=5)
    began = time.monotonic()
    await writer.apply(put(KEY, 1))
    assert await one.yes(1, wait_s=10)
    assert time.monotonic() - began < LIVE_S
    assert await redis.hlen(keys.gateways(one.cache.run_id)) == 3


async def test_absent_by_tombstone_and_by_floor(one: Process, writer: RouteWriter) -> None:
    epoch = one.cache.epoch
    assert epoch is not None
    await writer.apply(put(KEY, 1))
    await writer.apply(delete(KEY, 2))
    progress, done = await one.watch.applied(KEY, 2, wait_s=5)
    assert done
    assert progress.standing is not None
    assert (progress.standing.state, progress.standing.revision) == ("absent", 2)
    assert not await one.yes(3)
    # Removed long ago: the tombstone is swept, the floor says it.
    await writer.finish(epoch, "models", "one", 3, complete=False)
    progress, done = await one.watch.applied(KEY, 2, wait_s=5)
    assert done
    assert progress.standing is not None
    assert (progress.standing.state, progress.standing.revision) == ("absent", 3)


async def test_the_absent_can_be_waited_for_while_the_table_is_written(one: Process, writer: RouteWriter) -> None:
    over = False

    async def write() -> None:
        revision = 0
        while not over:
            revision += 1
            await asyncio.gather(*(writer.apply(put(f"model/default/m{n}", revision)) for n in range(20)))

    writing = asyncio.ensure_future(write())
    try:
        for _ in range(5):
            assert await one.yes(0, wait_s=5)
    finally:
        over = True
        await writing


async def test_a_lost_table_says_nothing_until_every_gateway_is_heard(
    one: Process, writer: RouteWriter, redis: Redis
) -> None:
    other = Scripted(redis, one)
    await other.says(0)
    await redis.flushall()
    epoch = await open_table(writer)
    await writer.apply(put(KEY, 1))
    began = time.monotonic()
    await eventually(lambda: one.fence.applied == Applied(epoch, 1), 10)
    assert not await one.yes(1), "the other one's record is lost, too"
    assert await one.yes(1, wait_s=20)
    assert time.monotonic() - began > 1.0
    roster = await redis.hgetall(keys.gateways(one.cache.run_id))
    await eventually(lambda: one.watch.fleet.settles is None)
    assert SETTLED in roster or SETTLED in await redis.hgetall(keys.gateways(one.cache.run_id))


async def test_without_redis_nobody_is_told_yes(one: Process, writer: RouteWriter, valkey: ValkeyServer) -> None:
    await writer.apply(put(KEY, 1))
    assert await one.yes(1, wait_s=5)
    valkey.kill()
    await eventually(lambda: not one.cache.connected)
    with pytest.raises(TableAwayError):
        await one.yes(1)
    valkey.start()
    await open_table(writer)
    await writer.apply(put(KEY, 1))
    assert await one.yes(1, wait_s=20)


async def test_waits_end_when_the_process_leaves(one: Process) -> None:
    waiting = asyncio.ensure_future(one.yes(7, wait_s=60))
    await asyncio.sleep(0.05)
    one.watch.end_waits()
    async with asyncio.timeout(5):
        assert not await waiting


# The lease


async def test_a_network_that_swallows_bytes(valkey: ValkeyServer, writer: RouteWriter) -> None:
    """The process notices within the time of a fence, says so, and follows changes again when the network is back."""
    await open_table(writer)
    await writer.apply(put(KEY, 1))
    with start_proxy(valkey.port) as proxy:
        async with Process(valkey.url) as near, Process(proxy.url, "cut off") as far:
            await far.cache.get(KEY)
            await near.settled()
            assert await near.yes(1, wait_s=10)
            proxy.swallow()
            began = time.monotonic()
            await writer.apply(put(KEY, 2))
            assert not await near.yes(2)
            assert await near.yes(2, wait_s=20), "a gateway that is cut off is not waited for for ever"
            assert time.monotonic() - began > 1.5, "nor forgotten while its lease may hold"
            assert not far.lease.holds()
            assert not await far.lease.renew()
            assert far.lease.goes_without()
            began = time.monotonic()
            assert (await far.cache.get(KEY)).revision == 1, "what is known is served"
            assert time.monotonic() - began < 0.5
            proxy.forward()
            await eventually(far.lease.holds, 10)
            assert not far.lease.goes_without()
            assert (await far.cache.get(KEY)).revision == 2


async def test_after_a_short_cut_what_changed_meanwhile_is_read(valkey: ValkeyServer, writer: RouteWriter) -> None:
    """The lease ends with the connection; who asks waits for the next one before what was known is served."""
    await open_table(writer)
    await writer.apply(put(KEY, 1))
    fresh = 0
    with start_proxy(valkey.port) as proxy:
        async with Process(proxy.url) as process:
            asked: list[asyncio.Future[Entry]] = []

            def look(event: TableEvent) -> None:
                if event is TableEvent.LOST:
                    assert not process.lease.holds()
                    asked.append(asyncio.ensure_future(process.cache.get(KEY)))

            process.cache.subscribe(look)
            for revision in range(2, 7):
                await process.cache.get(KEY, min_revision=revision - 1)
                proxy.hold()
                await writer.apply(put(KEY, revision))
                proxy.reset()
                proxy.forward()
                await eventually(lambda: asked, 10)
                fresh += (await asked.pop()).revision == revision
                await eventually(process.lease.holds, 10)
    # A machine may be too busy for once to connect within 100 ms.
    assert fresh >= 3


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("ERROR")

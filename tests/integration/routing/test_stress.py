"""The near cache under a writer, FLUSHALL and cut connections.

The rule: once two readings one after the other have come back on its connection, whatever the table held before
the first is what the cache says, or something later (docs/propagation.md, rules 15 to 17).
"""

import asyncio
import random
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from modelport_contracts.records import Change
from modelport_routing import NearCache, Outcome, RouteWriter, TableAwayError
from modelport_testing.polling import eventually
from modelport_testing.servers import ValkeyServer
from modelport_testing.tables import delete, put

SECONDS = 3.0
KEYS = [f"provider/default/p.{n}" for n in range(40)]
NEVER = "provider/default/never"
UNREACHED = 10**9


@dataclass
class World:
    """The source's database, what is known to have been in the table, and what happened."""

    chance: random.Random
    end: float
    revision: int = 0
    newest: dict[str, tuple[int, bool]] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    """The newest removal of each key."""
    written: dict[str, int] = field(default_factory=dict)
    verified: int = 0
    flushes: int = 0
    cuts: int = 0
    stale: list[str] = field(default_factory=list)

    def commit(self, key: str) -> Change:
        self.revision += 1
        present = self.chance.random() < 0.8
        self.newest[key] = (self.revision, present)
        if not present:
            self.removed[key] = self.revision
        return put(key, self.revision) if present else delete(key, self.revision)

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.end


class DeafCache(NearCache):
    """A near cache that misses every third push: what the stress must find out."""

    pushes = 0

    def _on_push(self, message: list[Any]) -> None:
        self.pushes += 1
        if self.pushes % 3:
            super()._on_push(message)


async def rebuild(writer: RouteWriter, world: World) -> None:
    """Do what the reconciler does, as simply as possible, until it succeeds."""
    while True:
        state = await writer.state()
        epoch = state.epoch or await writer.begin_epoch(state.stored_epoch, uuid.uuid4().hex)
        if await writer.open_source(epoch, "models", "one", world.revision) is not Outcome.APPLIED:
            continue
        revision = world.revision
        snapshot = {key: put(key, at) for key, (at, present) in world.newest.items() if present}
        for change in snapshot.values():
            await writer.apply_snapshot([change], epoch=epoch, snapshot_revision=revision)
        missing = [key async for key in writer.keys_of("models") if key not in snapshot]
        for key in missing:
            await writer.remove_missing(
                key, epoch=epoch, source="models", incarnation="one", snapshot_revision=revision
            )
        if await writer.finish(epoch, "models", "one", revision, complete=True) is Outcome.APPLIED:
            return


async def write(writer: RouteWriter, world: World) -> None:
    """Commit and write, reordered and redelivered; the writer's own connection is cut as well."""
    late: list[Change] = []
    while not world.over:
        keys = world.chance.sample(KEYS, world.chance.choice([1, 1, 2, 8]))
        sent = [world.commit(key) for key in keys] + late
        world.chance.shuffle(sent)
        late = world.chance.sample(sent, min(3, len(sent)))
        try:
            outcomes = await asyncio.gather(*(writer.apply(change) for change in sent))
            for change, outcome in zip(sent, outcomes, strict=True):
                key = change.envelope.key
                if outcome is Outcome.APPLIED:
                    world.written[key] = max(world.written.get(key, 0), change.envelope.revision)
            if Outcome.NO_EPOCH in outcomes or Outcome.NOT_OPEN in outcomes:
                await rebuild(writer, world)
        except TableAwayError:
            continue
        await asyncio.sleep(world.chance.random() * 0.004)


async def read(cache: NearCache, world: World) -> None:
    while not world.over:
        known = dict(world.written)
        try:
            for _ in range(2):
                await cache.get(NEVER, min_revision=UNREACHED)
        except TableAwayError:
            await asyncio.sleep(0.001)
            continue
        for key in world.chance.sample(KEYS, 10):
            try:
                entry = await cache.get(key)
            except TableAwayError:
                continue
            if not entry.verified:
                continue
            world.verified += 1
            wanted = known.get(key, 0)
            swept = not entry.present and entry.revision == 0 and world.removed.get(key, 0) >= wanted
            if entry.revision < wanted and not swept:
                world.stale.append(f"{entry} although revision {wanted} was there")


async def disturb(redis: Redis, world: World) -> None:
    while not world.over:
        await asyncio.sleep(world.chance.random() * 0.08)
        try:
            if world.chance.random() < 0.3:
                await redis.flushall()
                world.flushes += 1
            else:
                await redis.client_kill_filter(_type="normal", skipme=True)
                world.cuts += 1
        except RedisError:
            continue


async def run(writer: RouteWriter, cache: NearCache, redis: Redis) -> World:
    world = World(random.Random(20), time.monotonic() + SECONDS)
    await cache.wait_connected()
    await rebuild(writer, world)
    await asyncio.gather(write(writer, world), disturb(redis, world), *(read(cache, world) for _ in range(3)))
    return world


async def rebuilt(writer: RouteWriter, world: World) -> bool:
    await rebuild(writer, world)
    return True


async def test_no_verified_read_is_stale(valkey: ValkeyServer, redis: Redis, writer: RouteWriter) -> None:
    async with NearCache(valkey.url) as cache, NearCache(valkey.url, literal=True) as oracle:
        world = await run(writer, cache, redis)
        assert world.stale == []
        assert world.verified > 1000, world
        assert world.flushes > 3, world
        assert world.cuts > 5, world
        await eventually(lambda: rebuilt(writer, world), ignoring=(TableAwayError,))

        async def agree() -> bool:
            for key in KEYS:
                entry, literal = await cache.get(key), await oracle.get(key)
                assert entry.verified
                assert (entry.present, entry.payload) == (literal.present, literal.payload)
                revision, present = world.newest.get(key, (0, False))
                assert entry.present == present
                assert not present or entry.revision == revision
            return True

        await eventually(agree, ignoring=(TableAwayError,))


async def test_the_stress_finds_a_cache_that_misses_pushes(
    valkey: ValkeyServer, redis: Redis, writer: RouteWriter
) -> None:
    async with DeafCache(valkey.url) as cache:
        assert (await run(writer, cache, redis)).stale != []


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("ERROR")

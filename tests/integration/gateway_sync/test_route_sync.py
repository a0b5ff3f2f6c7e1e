"""Changes on their way from a source's commit to a gateway's near cache, and every way of losing one."""

import asyncio
import contextlib
import time

import pytest
from redis.asyncio import Redis

from modelport_contracts.records import IndexEntry, listing_index
from modelport_routing import RouteWriter, TableAwayError, keys
from modelport_testing.polling import eventually
from modelport_testing.servers import NatsServer, ValkeyServer
from modelport_testing.syncing import Sources, StartGateway
from modelport_testing.tables import delete, put

MODELS = [f"model/default/m.{n}" for n in range(35)]
SECRETS = [f"secret/default/s.{n}" for n in range(12)]


async def fill(sources: Sources) -> dict[str, bytes]:
    for key in MODELS:
        await sources.models.put(key)
    await sources.secrets.put(*SECRETS)
    return await sources.truth()


async def test_a_change_reaches_every_gateway(published: Sources, start_gateway: StartGateway) -> None:
    async with start_gateway() as one, start_gateway() as other:
        await one.whole()
        await other.whole()
        index = [IndexEntry(index=listing_index("default"), field="a.b", value="17")]
        await published.models.put("virtual-model/default/a.b", index=index)
        await published.secrets.put("secret/default/key")
        truth = await published.truth()
        for gateway in (one, other):
            await eventually(lambda gateway=gateway: gateway.shows(truth))  # type: ignore[misc]
            assert await gateway.cache.index(listing_index("default"), "models") == {"a.b": "17"}
        await published.models.remove("virtual-model/default/a.b")
        for gateway in (one, other):
            await eventually(lambda gateway=gateway: gateway.lacks("virtual-model/default/a.b"))  # type: ignore[misc]
            assert await gateway.cache.index(listing_index("default"), "models") == {}


async def test_a_change_takes_milliseconds(published: Sources, start_gateway: StartGateway) -> None:
    async with start_gateway() as gateway:
        await gateway.whole()
        delays: list[float] = []
        for times in range(30):
            started = time.perf_counter()
            await published.models.put("provider/default/p", text=str(times))
            truth = await published.truth()
            await eventually(lambda truth=truth: gateway.shows(truth), interval=0.001)  # type: ignore[misc]
            delays.append(time.perf_counter() - started)
        assert sorted(delays)[15] < 0.1, delays


async def test_what_was_there_before_the_table_is_in_it(sources: Sources, start_gateway: StartGateway) -> None:
    truth = await fill(sources)
    async with start_gateway() as gateway:
        await gateway.whole()
        assert await gateway.shows(truth)
        assert await gateway.lacks("provider/default/never")


async def test_an_emptied_table_is_rebuilt_without_a_false_absence(
    published: Sources, start_gateway: StartGateway, redis: Redis
) -> None:
    truth = await fill(published)
    async with start_gateway() as one, start_gateway() as other:
        await one.whole()
        await other.whole()
        known, unread = MODELS[:20], MODELS[20:]
        await one.cache.get_many(known)
        for _ in range(3):
            epoch = one.cache.epoch
            started = time.monotonic()
            await redis.flushall()
            while one.cache.epoch in {None, epoch} or len(one.cache.complete) < 2:
                assert time.monotonic() - started < 5
                for key in known:
                    assert (await one.cache.get(key)).present, "known routes are served throughout"
                for key in (*unread, *SECRETS):
                    with contextlib.suppress(TableAwayError):
                        assert (await other.cache.get(key)).present, "never a false absence"
                await asyncio.sleep(0.002)
            assert time.monotonic() - started < 3
            await other.whole()
            assert await one.shows(truth)
            assert await other.shows(truth)
        begun = [sum(r.counts.epochs for r in gateway.sync.reconcilers.values()) for gateway in (one, other)]
        assert sum(begun) == 4, "gateways begin one epoch between them"


async def test_gateways_share_a_rebuild(sources: Sources, start_gateway: StartGateway, redis: Redis) -> None:
    await fill(sources)
    async with start_gateway() as one, start_gateway() as two, start_gateway() as three:
        gateways = (one, two, three)
        for gateway in gateways:
            await gateway.whole()
        await redis.flushall()
        await eventually(lambda: all(gateway.cache.epoch is None for gateway in gateways) or one.cache.complete)
        for gateway in gateways:
            await gateway.whole()
        rebuilds = sum(gateway.sync.reconcilers["models"].counts.rebuilds for gateway in gateways)
        assert rebuilds <= 4, "two tables, one rebuild each, give or take one race"


async def test_changes_during_a_rebuild_are_not_lost(
    published: Sources, start_gateway: StartGateway, redis: Redis
) -> None:
    await fill(published)
    async with start_gateway() as gateway:
        await gateway.whole()

        async def change() -> None:
            for times in range(60):
                await published.models.put(MODELS[times % 35], text=f"new {times}")
                if times % 3 == 0:
                    await published.models.remove(MODELS[(times * 7) % 35])

        async def flush() -> None:
            for _ in range(4):
                await redis.flushall()
                await asyncio.sleep(0.1)

        await asyncio.gather(change(), flush())
        await gateway.whole()
        truth = await published.truth()
        await eventually(lambda: gateway.shows(truth), ignoring=(TableAwayError,))
        for key in set(MODELS) - set(truth):
            assert await eventually(lambda key=key: gateway.lacks(key))  # type: ignore[misc]


async def test_a_table_emptied_as_soon_as_it_was_begun_is_begun_again(
    published: Sources, start_gateway: StartGateway, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, emptied = RouteWriter.begin_epoch, 0

    async def begin_and_empty(self: RouteWriter, seen: str | None, random_part: str) -> str:
        nonlocal emptied
        epoch = await begin(self, seen, random_part)
        if emptied < 3:
            emptied += 1
            await redis.flushall()
        return epoch

    monkeypatch.setattr(RouteWriter, "begin_epoch", begin_and_empty)
    truth = await fill(published)
    async with start_gateway() as gateway:
        await gateway.whole()
        assert emptied == 3
        await eventually(lambda: gateway.shows(truth), ignoring=(TableAwayError,))


async def test_one_source_is_rebuilt_while_the_other_is_away(sources: Sources, start_gateway: StartGateway) -> None:
    truth = await fill(sources)
    sources.secrets.away = True
    async with start_gateway() as gateway:
        await eventually(lambda: gateway.cache.complete == {"models"})
        assert await gateway.shows(await sources.models.payloads())
        assert await gateway.lacks("provider/default/never")
        with pytest.raises(TableAwayError):
            await gateway.cache.get("secret/default/never")
        sources.secrets.away = False
        await gateway.whole()
        assert await gateway.shows(truth)


async def test_an_absent_source_is_no_hot_loop(sources: Sources, start_gateway: StartGateway) -> None:
    sources.secrets.away = True
    async with start_gateway() as gateway:
        await eventually(lambda: gateway.cache.complete == {"models"})
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            with contextlib.suppress(TableAwayError):
                await gateway.cache.get("secret/default/never")
            await asyncio.sleep(0.01)
        assert 1 <= gateway.sync.reconcilers["secrets"].counts.failures < 15


async def test_nothing_is_removed_because_a_listing_failed(
    sources: Sources, start_gateway: StartGateway, redis: Redis
) -> None:
    truth = await fill(sources)
    async with start_gateway() as gateway:
        await gateway.whole()
        reconciler = gateway.sync.reconcilers["models"]
        sources.models.cut_after_pages = sources.models.pages + 2
        await redis.delete(keys.lock("compare:models"))
        failures = reconciler.counts.failures
        reconciler.wake()
        await eventually(lambda: reconciler.counts.failures > failures)
        assert reconciler.counts.removed == 0
        assert await gateway.shows(truth)
        sources.models.cut_after_pages = None
        await eventually(lambda: reconciler.counts.comparisons == 1)
        assert await gateway.shows(truth)


async def test_a_comparison_repairs_what_a_living_table_lost_or_kept(
    sources: Sources, start_gateway: StartGateway, redis: Redis
) -> None:
    """Nothing is published here: only the comparison can find out."""
    await fill(sources)
    async with start_gateway() as gateway:
        await gateway.whole()
        await redis.delete(keys.row(MODELS[3]), keys.row(MODELS[4]))
        await sources.models.put(MODELS[5], text="changed")
        await sources.models.remove(MODELS[6])
        await redis.delete(keys.lock("compare:models"))
        gateway.sync.reconcilers["models"].wake()
        truth = await sources.truth()
        await eventually(lambda: gateway.shows(truth))
        await eventually(lambda: gateway.lacks(MODELS[6]))
        counts = gateway.sync.reconcilers["models"].counts
        assert (counts.repaired, counts.removed, counts.rebuilds) == (3, 1, 1)


async def _due_to_catch_up(redis: Redis) -> None:
    """Wait for the rebuild to note that it made a catch-up needless for a minute, and make one due all the same."""
    await eventually(lambda: redis.delete(keys.lock("catch-up:models")))


async def test_catching_up_finds_lost_messages(sources: Sources, start_gateway: StartGateway, redis: Redis) -> None:
    await fill(sources)
    async with start_gateway() as gateway:
        await gateway.whole()
        await sources.models.put(MODELS[5], text="changed")
        await sources.models.put("model/default/added")
        await sources.models.remove(MODELS[6])
        await _due_to_catch_up(redis)
        gateway.sync.reconcilers["models"].wake()
        truth = await sources.truth()
        await eventually(lambda: gateway.shows(truth))
        await eventually(lambda: gateway.lacks(MODELS[6]))
        assert gateway.sync.reconcilers["models"].counts.catch_ups == 1
        assert (await gateway.writer.state()).floors["models"] == 38
        assert not await redis.exists(keys.row(MODELS[6])), "the floor has taken the tombstone's place"


async def test_one_gateway_of_many_catches_up(sources: Sources, start_gateway: StartGateway, redis: Redis) -> None:
    async with start_gateway() as one, start_gateway() as two:
        await one.whole()
        await two.whole()
        await _due_to_catch_up(redis)
        for gateway in (one, two, one, two):
            gateway.sync.reconcilers["models"].wake()
        await eventually(lambda: sources.models.asked_for_changes == 1)
        await eventually(lambda: redis.exists(keys.lock("catch-up:models")))
        assert sources.models.asked_for_changes == 1


async def test_another_database_begins_the_table_anew(published: Sources, start_gateway: StartGateway) -> None:
    """A restored database has lower numbers than the table; its first change gives it away."""
    await fill(published)
    async with start_gateway() as gateway:
        await gateway.whole()
        epoch = gateway.cache.epoch
        await published.models.remove(MODELS[0])
        await eventually(lambda: gateway.lacks(MODELS[0]))
        await published.models.renew_incarnation(revision=3)
        await published.models.put("provider/default/after", text="restore")
        await eventually(lambda: gateway.cache.epoch not in {None, epoch})
        await gateway.whole()
        truth = await published.truth()
        assert await gateway.shows(truth)
        assert await gateway.lacks(MODELS[0])


async def test_a_late_change_of_a_former_database_changes_nothing(
    sources: Sources, start_gateway: StartGateway
) -> None:
    truth = await fill(sources)
    async with start_gateway() as gateway:
        await gateway.whole()
        epoch = gateway.cache.epoch
        await gateway.sync.apply(delete(MODELS[0], 10**6, incarnation="a former one"))
        await gateway.sync.apply(put("model/default/ghost", 10**6, incarnation="a former one"))
        await eventually(lambda: gateway.sync.reconcilers["models"].counts.catch_ups == 0)
        assert await gateway.shows(truth)
        assert await gateway.lacks("model/default/ghost")
        assert gateway.cache.epoch == epoch, "the source was asked and said that nothing had changed"


async def test_a_redelivered_creation_does_not_outlive_the_rebuild(
    sources: Sources, start_gateway: StartGateway
) -> None:
    """Created, removed, table emptied, creation delivered again while the new table is being filled."""
    await fill(sources)
    created = await sources.models.put("model/default/ghost")
    await sources.models.remove("model/default/ghost")
    sources.models.cut_after_pages = 1
    async with start_gateway() as gateway:

        async def incarnation() -> str:
            return (await gateway.writer.state()).incarnations["models"] or ""

        late = put("model/default/ghost", created, incarnation=await eventually(incarnation))
        await gateway.sync.apply(late)
        with pytest.raises(TableAwayError):
            await gateway.cache.get("model/default/ghost")
        sources.models.cut_after_pages = None
        await gateway.whole()
        assert await gateway.lacks("model/default/ghost")


async def test_an_old_dump_is_replaced(
    published: Sources, start_gateway: StartGateway, redis: Redis, valkey: ValkeyServer
) -> None:
    await fill(published)
    async with start_gateway() as gateway:
        await gateway.whole()
        await redis.save()
        await published.models.put("provider/default/later")
        await published.models.remove(MODELS[0])
        await eventually(lambda: gateway.lacks(MODELS[0]))
        truth = await published.truth()
        await eventually(lambda: gateway.shows(truth))
        await asyncio.to_thread(valkey.kill)
        await asyncio.to_thread(valkey.start)
        await gateway.whole(10)
        await eventually(lambda: gateway.shows(truth), ignoring=(TableAwayError,))
        assert await gateway.lacks(MODELS[0])


async def test_redis_away_for_a_while_loses_no_change(
    published: Sources, start_gateway: StartGateway, valkey: ValkeyServer
) -> None:
    async with start_gateway() as gateway:
        await gateway.whole()
        await asyncio.to_thread(valkey.kill)
        for key in MODELS:
            await published.models.put(key)
        await asyncio.to_thread(valkey.start)
        await gateway.whole(10)
        truth = await published.truth()
        await eventually(lambda: gateway.shows(truth), ignoring=(TableAwayError,))
        await published.models.put("model/default/afterwards")
        truth = await published.truth()
        await eventually(lambda: gateway.shows(truth), ignoring=(TableAwayError,))


async def test_nats_on_an_empty_disk_loses_no_later_change(
    published: Sources, start_gateway: StartGateway, nats_server: NatsServer
) -> None:
    async with start_gateway() as gateway:
        await gateway.whole()
        await asyncio.to_thread(nats_server.wipe)
        await published.models.put("model/default/afterwards")
        truth = await published.truth()
        await eventually(lambda: gateway.shows(truth), timeout=10)


async def test_wrong_redis_settings_are_logged(
    start_gateway: StartGateway, redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    async with start_gateway() as gateway:
        await gateway.whole()
    assert "set noeviction" in capsys.readouterr().out

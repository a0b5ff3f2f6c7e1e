"""The near cache against a real server (docs/propagation.md, rules 13, 15, 16)."""

import asyncio
import time

import pytest
from redis.asyncio import Redis

from modelport_contracts.records import IndexEntry, listing_index
from modelport_routing import NearCache, RouteWriter, TableAwayError, TableEvent, keys
from modelport_routing.entries import MAX_EMPTY_INDEXES
from modelport_routing.lease import PATIENCE_S
from modelport_testing.polling import eventually
from modelport_testing.servers import ValkeyServer
from modelport_testing.tables import begin, delete, open_table, put

KEY = "provider/default/gpt-3.5.x@y+z"


async def test_a_verified_entry_is_served_without_asking(writer: RouteWriter, cache: NearCache, redis: Redis) -> None:
    await open_table(writer)
    change = put(KEY, 3)
    await writer.apply(change)
    assert cache.peek(KEY) is None
    entry = await cache.get(KEY)
    assert (entry.present, entry.revision, entry.payload, entry.verified) == (True, 3, change.payload, True)
    asked = (await redis.info("commandstats"))["cmdstat_mget"]["calls"]
    for _ in range(100):
        assert cache.peek(KEY) is entry
        assert await cache.get(KEY) is entry
    assert (await redis.info("commandstats"))["cmdstat_mget"]["calls"] == asked


async def test_a_change_is_pushed_and_read_on_use(writer: RouteWriter, cache: NearCache) -> None:
    await open_table(writer)
    await writer.apply(put(KEY, 3))
    await cache.get(KEY)
    await writer.apply(put(KEY, 4))
    await eventually(lambda: cache.peek(KEY) is None)
    assert (await cache.get(KEY)).revision == 4
    await writer.apply(delete(KEY, 5))
    await eventually(lambda: cache.peek(KEY) is None)
    entry = await cache.get(KEY)
    assert (entry.present, entry.revision, entry.payload) == (False, 5, None)
    assert cache.peek(KEY) is entry, "absence is cached too"
    await writer.apply(put(KEY, 6))
    await eventually(lambda: cache.peek(KEY) is None)
    assert (await cache.get(KEY)).present


async def test_what_was_compiled_lives_as_long_as_its_payload(
    writer: RouteWriter, cache: NearCache, redis: Redis
) -> None:
    await open_table(writer)
    await writer.apply(put(KEY, 3))
    entry = await cache.get(KEY)
    entry.compiled = compiled = object()
    await redis.client_kill_filter(_type="normal", skipme=True)
    await eventually(lambda: cache.peek(KEY) is None)
    assert (await cache.get(KEY)).compiled is compiled
    await writer.apply(put(KEY, 4))
    await eventually(lambda: cache.peek(KEY) is None)
    assert (await cache.get(KEY)).compiled is None


async def test_several_keys_are_read_at_once(writer: RouteWriter, cache: NearCache, redis: Redis) -> None:
    await open_table(writer)
    wanted = [f"model/default/m-{n}" for n in range(5)] + ["secret/default/s"]
    for revision, key in enumerate(wanted, start=1):
        await writer.apply(put(key, revision))
    await cache.get(wanted[0])
    before = (await redis.info("commandstats"))["cmdstat_mget"]["calls"]
    found = await cache.get_many([*wanted, "model/default/none", wanted[1]])
    assert [found[key].revision for key in wanted] == [1, 2, 3, 4, 5, 6]
    assert not found["model/default/none"].present
    assert (await redis.info("commandstats"))["cmdstat_mget"]["calls"] == before + 1


async def test_those_who_wait_for_a_key_share_one_reading(writer: RouteWriter, cache: NearCache, redis: Redis) -> None:
    await open_table(writer)
    await writer.apply(put(KEY, 1))
    before = (await redis.info("commandstats"))["cmdstat_mget"]["calls"]
    gone = asyncio.create_task(cache.get(KEY))
    others = [asyncio.create_task(cache.get(KEY)) for _ in range(50)]
    await asyncio.sleep(0)
    gone.cancel()
    assert {(await other).revision for other in others} == {1}
    assert (await redis.info("commandstats"))["cmdstat_mget"]["calls"] == before + 1


async def test_absence_is_not_believed_without_epoch_or_mark(writer: RouteWriter, cache: NearCache) -> None:
    with pytest.raises(TableAwayError, match="rebuilt"):
        await cache.get(KEY)
    await open_table(writer, complete=False)
    with pytest.raises(TableAwayError):
        await cache.get(KEY)
    await writer.apply(put(KEY, 1))
    assert (await cache.get(KEY)).verified, "presence needs no mark"
    await writer.apply(delete(KEY, 2))
    await eventually(lambda: cache.peek(KEY) is None)
    with pytest.raises(TableAwayError):
        await cache.get(KEY)


async def test_each_source_has_a_mark_of_its_own(writer: RouteWriter, cache: NearCache) -> None:
    epoch = await open_table(writer, complete=False)
    await writer.finish(epoch, "secrets", "one", 0, complete=True)
    assert not (await cache.get("secret/default/none")).present
    with pytest.raises(TableAwayError):
        await cache.get(KEY)
    await writer.finish(epoch, "models", "one", 0, complete=True)
    await eventually(lambda: cache.complete == {"models", "secrets"})
    assert not (await cache.get(KEY)).present


async def test_an_emptied_table_gives_no_false_absence(writer: RouteWriter, cache: NearCache, redis: Redis) -> None:
    await open_table(writer)
    await writer.apply(put(KEY, 3))
    entry = await cache.get(KEY)
    absent = await cache.get("provider/default/none")
    events: list[TableEvent] = []
    cache.subscribe(events.append)
    await redis.flushall()
    await eventually(lambda: cache.peek(KEY) is None and cache.peek(absent.key) is None)
    assert await cache.get(KEY) is entry
    assert not entry.verified
    with pytest.raises(TableAwayError):
        await cache.get("provider/default/none")
    await eventually(lambda: TableEvent.TABLE_CHANGED in events and TableEvent.GAP in events)
    epoch = await open_table(writer, complete=False, revision=3)
    assert not (await cache.get(KEY)).verified
    await writer.apply_snapshot([put(KEY, 3)], epoch=epoch, snapshot_revision=3)
    assert (await cache.get(KEY)).verified
    await writer.finish(epoch, "models", "one", 3, complete=True)
    await eventually(lambda: "models" in cache.complete)
    assert not (await cache.get("provider/default/none")).present


async def test_what_is_missing_from_the_next_epoch_goes_when_its_mark_stands(
    writer: RouteWriter, cache: NearCache
) -> None:
    await open_table(writer)
    await writer.apply(put(KEY, 3))
    assert (await cache.get(KEY)).verified
    epoch = await begin(writer)
    await eventually(lambda: cache.peek(KEY) is None)
    assert (await cache.get(KEY)).present, "a row of another epoch serves until the mark stands"
    assert not (await cache.get(KEY)).verified
    await writer.open_source(epoch, "models", "one", 9)
    await writer.finish(epoch, "models", "one", 9, complete=True)
    await eventually(lambda: "models" in cache.complete)
    entry = await cache.get(KEY)
    assert (entry.present, entry.verified) == (False, True)


async def test_a_removal_before_the_mark_ends_what_was_known(writer: RouteWriter, cache: NearCache) -> None:
    await open_table(writer)
    await writer.apply(put(KEY, 3))
    await cache.get(KEY)
    epoch = await begin(writer)
    await writer.open_source(epoch, "models", "one", 3)
    await writer.apply(delete(KEY, 4))
    await eventually(lambda: cache.epoch == epoch)
    with pytest.raises(TableAwayError):
        await cache.get(KEY)


async def test_an_old_dump_proves_nothing(
    writer: RouteWriter, cache: NearCache, redis: Redis, valkey: ValkeyServer
) -> None:
    """The dump holds a mark but not the later route: without the run id it would be a false absence."""
    await open_table(writer)
    await writer.apply(put("provider/default/early", 1))
    await redis.save()
    await writer.apply(put(KEY, 2))
    await cache.get(KEY)
    await asyncio.to_thread(valkey.kill)
    await asyncio.to_thread(valkey.start)
    await eventually(lambda: cache.connected)
    assert await redis.exists(keys.EPOCH, keys.complete("models")) == 2
    entry = await cache.get(KEY)
    assert (entry.revision, entry.verified) == (2, False)
    with pytest.raises(TableAwayError):
        await cache.get("provider/default/never")
    early = await cache.get("provider/default/early")
    assert (early.present, early.verified) == (True, False)
    assert cache.epoch is None
    assert cache.complete == frozenset()


async def test_redis_away(writer: RouteWriter, cache: NearCache, valkey: ValkeyServer) -> None:
    await open_table(writer)
    await writer.apply(put(KEY, 3))
    entry = await cache.get(KEY)
    await cache.get("provider/default/none")
    await asyncio.to_thread(valkey.kill)
    await eventually(lambda: not cache.connected)
    started = time.monotonic()
    assert await cache.get(KEY) is entry
    waited_s = time.monotonic() - started
    assert waited_s < PATIENCE_S + 0.4, "what is known is served once the connection could have been back"
    assert not entry.verified
    for unknown in ("provider/default/none", "provider/default/other"):
        with pytest.raises(TableAwayError, match="away"):
            await cache.get(unknown)
    assert time.monotonic() - started < 1.5
    with pytest.raises(TableAwayError):
        await cache.index(listing_index("default"), "models")
    await asyncio.to_thread(valkey.start)
    await eventually(lambda: cache.connected)
    await open_table(writer)
    await writer.apply(put(KEY, 4))
    assert (await cache.get(KEY)).revision == 4


async def test_a_short_loss_is_waited_out(writer: RouteWriter, cache: NearCache, redis: Redis) -> None:
    await open_table(writer)
    await writer.apply(put(KEY, 3))
    lost: list[TableEvent] = []
    cache.subscribe(lambda event: lost.append(event) if event is TableEvent.LOST else None)
    for times in range(1, 6):
        await redis.client_kill_filter(_type="normal", skipme=True)
        await eventually(lambda times=times: len(lost) == times)  # type: ignore[misc]
        assert not (await cache.get(f"provider/default/unknown-{times}")).present
        assert (await cache.get(KEY)).present
        await cache.wait_connected()
        assert (await cache.get(KEY)).verified


async def test_a_connection_cut_in_silence_is_dropped(
    writer: RouteWriter, cache: NearCache, valkey: ValkeyServer
) -> None:
    await open_table(writer)
    await writer.apply(put(KEY, 3))
    entry = await cache.get(KEY)
    valkey.pause()
    try:
        started = time.monotonic()
        with pytest.raises(TableAwayError):
            await cache.get("provider/default/unknown")
        assert time.monotonic() - started < 3
        await eventually(lambda: not cache.connected)
        assert await asyncio.wait_for(cache.get(KEY), 0.2) is entry
        assert not entry.verified
    finally:
        valkey.resume()
    await eventually(lambda: cache.connected)
    assert (await cache.get(KEY)).verified


async def test_a_quiet_connection_is_checked(cache: NearCache, valkey: ValkeyServer) -> None:
    """Nobody asks for anything, and still a silent cut is noticed."""
    valkey.pause()
    try:
        await eventually(lambda: not cache.connected, timeout=4)
    finally:
        valkey.resume()
    await eventually(lambda: cache.connected)


async def test_min_revision_reads_again(writer: RouteWriter, cache: NearCache) -> None:
    await open_table(writer)
    await writer.apply(put(KEY, 3))
    await cache.get(KEY)
    write = asyncio.create_task(writer.apply(put(KEY, 4)))
    await write
    assert (await cache.get(KEY, min_revision=4)).revision == 4
    assert (await cache.get(KEY, min_revision=9)).revision == 4, "what is there is returned, it is for the caller"


async def test_an_index_is_cached_and_doubted(writer: RouteWriter, cache: NearCache) -> None:
    name = listing_index("default")

    def entry(field: str, value: str) -> list[IndexEntry]:
        return [IndexEntry(index=name, field=field, value=value)]

    with pytest.raises(TableAwayError):
        await cache.index(name, "models")
    epoch = await open_table(writer, complete=False)
    with pytest.raises(TableAwayError):
        await cache.index(name, "models")
    await writer.finish(epoch, "models", "one", 0, complete=True)
    await eventually(lambda: "models" in cache.complete)
    assert await cache.index(name, "models") == {}
    await writer.apply(put("virtual-model/default/a.b", 1, index=entry("a.b", "17")))

    async def shows(wanted: dict[str, str]) -> bool:
        return await cache.index(name, "models") == wanted

    await eventually(lambda: shows({"a.b": "17"}))
    await writer.apply(put("virtual-model/default/c", 2, index=entry("c", "18")))
    await eventually(lambda: shows({"a.b": "17", "c": "18"}))
    await writer.apply(delete("virtual-model/default/a.b", 3))
    await eventually(lambda: shows({"c": "18"}))
    assert await cache.index(name, "models") is await cache.index(name, "models")


async def test_asking_for_many_empty_indexes_forgets_no_filled_one(writer: RouteWriter, cache: NearCache) -> None:
    name = listing_index("default")
    await open_table(writer)
    await writer.apply(put("virtual-model/default/a", 1, index=[IndexEntry(index=name, field="a", value="1")]))
    listing = await cache.index(name, "models")
    # At once, so that most replies are stored before the first of those who asked goes on.
    asked = [f"unknown/{number}" for number in range(MAX_EMPTY_INDEXES + 200)]
    assert all(found == {} for found in await asyncio.gather(*(cache.index(each, "models") for each in asked)))
    assert cache.peek_index(name) is listing
    assert sum(cache.peek_index(each) is not None for each in asked) == MAX_EMPTY_INDEXES


async def test_an_index_is_looked_at_only_while_it_is_verified(writer: RouteWriter, cache: NearCache) -> None:
    name = listing_index("default")
    await open_table(writer)
    assert cache.peek_index(name) is None
    assert await cache.index(name, "models") == {}
    assert cache.peek_index(name) == {}
    await writer.apply(put("virtual-model/default/a", 1, index=[IndexEntry(index=name, field="a", value="1")]))
    await eventually(lambda: cache.peek_index(name) is None)
    assert await cache.index(name, "models") == {"a": "1"}
    assert cache.peek_index(name) == {"a": "1"}


async def test_a_known_index_outlives_an_emptied_table(writer: RouteWriter, cache: NearCache, redis: Redis) -> None:
    name = listing_index("default")
    await open_table(writer)
    change = put("virtual-model/default/a", 1, index=[IndexEntry(index=name, field="a", value="1")])
    await writer.apply(change)
    assert await cache.index(name, "models") == {"a": "1"}
    await redis.flushall()
    await eventually(lambda: cache.epoch is None)
    assert await cache.index(name, "models") == {"a": "1"}
    await open_table(writer)
    await eventually(lambda: "models" in cache.complete)
    assert await cache.index(name, "models") == {}


async def test_a_row_that_cannot_be_read_is_unknown_not_absent(
    writer: RouteWriter, cache: NearCache, redis: Redis
) -> None:
    await open_table(writer)
    await redis.set(keys.row(KEY), "from the far future")
    with pytest.raises(TableAwayError):
        await cache.get(KEY)


async def test_what_a_newer_writer_adds_is_ignored(writer: RouteWriter, cache: NearCache, redis: Redis) -> None:
    epoch = await open_table(writer)
    await redis.set(keys.row(KEY), f"{epoch} models 5 1 put x=1\n[]\npayload")
    assert (await cache.get(KEY)).payload == b"payload"


async def test_a_key_of_the_wrong_type_does_not_end_the_connection(
    writer: RouteWriter, cache: NearCache, redis: Redis
) -> None:
    await open_table(writer)
    await redis.set(keys.index("listing/default"), "no hash")
    await redis.rpush(keys.row(KEY), "no string")
    with pytest.raises(TableAwayError):
        await cache.index("listing/default", "models")
    assert not (await cache.get(KEY)).present
    assert cache.connected


async def test_literal_mode_asks_every_time(writer: RouteWriter, valkey: ValkeyServer, redis: Redis) -> None:
    async with NearCache(valkey.url, literal=True) as literal:
        await literal.wait_connected()
        await open_table(writer)
        await writer.apply(put(KEY, 1))
        before = (await redis.info("commandstats"))["cmdstat_mget"]["calls"]
        for _ in range(5):
            assert (await literal.get(KEY)).revision == 1
            assert literal.peek(KEY) is None
        await writer.apply(put(KEY, 2))
        assert (await literal.get(KEY)).revision == 2
        assert (await redis.info("commandstats"))["cmdstat_mget"]["calls"] == before + 6


async def test_it_logs_in_with_a_password(writer: RouteWriter, redis: Redis, valkey: ValkeyServer) -> None:
    await open_table(writer)
    await writer.apply(put(KEY, 1))
    await redis.acl_setuser("mp", enabled=True, passwords=["+p@ss:w/rd"], keys=["*"], categories=["+@all"])
    url = valkey.url.replace("redis://", "redis://mp:p%40ss%3Aw%2Frd@")
    async with NearCache(url) as cache:
        await asyncio.wait_for(cache.wait_connected(), 5)
        assert (await cache.get(KEY)).present
    async with RouteWriter(url) as other:
        assert (await other.state()).epoch is not None


async def test_a_wrong_password_is_redis_away_and_never_logged(
    valkey: ValkeyServer, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.config_set("requirepass", "right")
    async with NearCache(valkey.url.replace("redis://", "redis://:canary-4711@")) as cache:
        with pytest.raises(TableAwayError):
            await cache.get(KEY)
    assert "away" in caplog.text
    assert "canary-4711" not in caplog.text

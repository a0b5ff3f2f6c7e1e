"""The guarded writes against a real server (docs/propagation.md, rules 10 to 14)."""

import asyncio
import random

import pytest
from redis.asyncio import Redis

from modelport_contracts.records import IndexEntry, listing_index
from modelport_routing import Outcome, RouteWriter, TableAwayError, keys
from modelport_routing.rows import Row, parse_row
from modelport_testing.servers import ValkeyServer
from modelport_testing.tables import begin, delete, open_table, put

KEY = "provider/default/openai"


async def row_of(redis: Redis, key: str = KEY) -> Row | None:
    raw = await redis.get(keys.row(key))
    return None if raw is None else parse_row(str(raw).encode())


async def fields_of(redis: Redis, index: str) -> dict[str, str]:
    return {str(field): str(value) for field, value in (await redis.hgetall(keys.index(index))).items()}


async def test_a_row_carries_the_payload_as_it_came(writer: RouteWriter, redis: Redis) -> None:
    epoch = await open_table(writer)
    change = put("model/default/gpt-3.5.x@y+z_w", 3, text="two\nlines, \u00fc and \x00")
    assert await writer.apply(change) is Outcome.APPLIED
    row = await row_of(redis, change.envelope.key)
    assert row == Row(epoch, "models", 3, 1, present=True, payload=change.payload)


async def test_without_an_epoch_nothing_is_written(writer: RouteWriter, redis: Redis) -> None:
    assert await writer.apply(put(KEY, 1)) is Outcome.NO_EPOCH
    assert await redis.dbsize() == 0


async def test_before_its_source_is_open_nothing_is_written(writer: RouteWriter, redis: Redis) -> None:
    await open_table(writer, sources=["secrets"])
    assert await writer.apply(put(KEY, 1)) is Outcome.NOT_OPEN
    assert await writer.apply(put("secret/default/key", 1)) is Outcome.APPLIED
    assert await row_of(redis) is None


async def test_redelivered_and_reordered_changes_never_move_a_key_back(writer: RouteWriter, redis: Redis) -> None:
    await open_table(writer)
    changes = [put(KEY, revision) for revision in range(1, 8)] + [delete(KEY, 8), put(KEY, 9)]
    sent = changes * 3
    random.Random(1).shuffle(sent)
    highest = 0
    for change in sent:
        outcome = await writer.apply(change)
        assert outcome is (Outcome.APPLIED if change.envelope.revision > highest else Outcome.OLD)
        highest = max(highest, change.envelope.revision)
    row = await row_of(redis)
    assert row is not None
    assert (row.revision, row.present) == (9, True)


async def test_a_removal_leaves_a_tombstone_that_holds_off_what_was_before(writer: RouteWriter, redis: Redis) -> None:
    await open_table(writer)
    assert await writer.apply(delete(KEY, 5)) is Outcome.APPLIED
    assert await writer.apply(put(KEY, 4)) is Outcome.OLD
    row = await row_of(redis)
    assert row is not None
    assert (row.revision, row.present, row.payload) == (5, False, b"")
    assert await writer.apply(put(KEY, 6)) is Outcome.APPLIED
    assert await redis.zcard(keys.tombstones("models")) == 0


async def test_the_floor_takes_the_tombstones_place(writer: RouteWriter, redis: Redis) -> None:
    epoch = await open_table(writer)
    await writer.apply(delete(KEY, 5))
    await writer.apply(delete("provider/default/later", 9))
    assert await writer.finish(epoch, "models", "one", 7, complete=False) is Outcome.APPLIED
    assert await row_of(redis) is None
    assert await row_of(redis, "provider/default/later") is not None
    assert await writer.apply(put(KEY, 5)) is Outcome.BELOW_FLOOR
    assert await writer.apply(put(KEY, 7)) is Outcome.BELOW_FLOOR
    assert await writer.apply(put(KEY, 8)) is Outcome.APPLIED
    assert await writer.apply(put("secret/default/a", 1)) is Outcome.APPLIED, "a floor is its source's own"


async def test_many_tombstones_are_swept(writer: RouteWriter, redis: Redis) -> None:
    epoch = await open_table(writer)
    await asyncio.gather(*(writer.apply(delete(f"model/default/m{n}", n)) for n in range(1, 1202)))
    await writer.finish(epoch, "models", "one", 1201, complete=False)
    assert await redis.zcard(keys.tombstones("models")) == 0
    assert [name async for name in redis.scan_iter(match=f"{keys.ROW_PREFIX}*")] == []


async def test_a_floor_never_falls(writer: RouteWriter) -> None:
    epoch = await open_table(writer, revision=10)
    await writer.finish(epoch, "models", "one", 4, complete=True)
    assert (await writer.state()).floors == {"models": 10, "secrets": 10}


async def test_a_snapshot_write_repairs_what_was_lost_below_the_floor(writer: RouteWriter, redis: Redis) -> None:
    epoch = await open_table(writer, revision=10)
    lost = put(KEY, 3)
    assert await writer.apply(lost) is Outcome.BELOW_FLOOR
    assert await writer.apply_snapshot([lost], epoch=epoch, snapshot_revision=9) == [Outcome.BELOW_FLOOR]
    assert await writer.apply_snapshot([lost], epoch=epoch, snapshot_revision=10) == [Outcome.APPLIED]
    assert await writer.apply_snapshot([lost], epoch="else", snapshot_revision=10) == [Outcome.NO_EPOCH]
    row = await row_of(redis)
    assert row is not None
    assert row.revision == 3


async def test_a_snapshot_write_does_not_overtake_a_live_one(writer: RouteWriter) -> None:
    epoch = await open_table(writer, revision=10, complete=False)
    await writer.apply(delete(KEY, 12))
    assert await writer.apply_snapshot([put(KEY, 8)], epoch=epoch, snapshot_revision=10) == [Outcome.OLD]


async def test_only_what_a_snapshot_can_know_is_removed(writer: RouteWriter, redis: Redis) -> None:
    epoch = await open_table(writer)
    await writer.apply(put("provider/default/old", 4))
    await writer.apply(put("provider/default/new", 11))
    await writer.apply(put("secret/default/old", 4))

    async def remove(key: str) -> Outcome:
        return await writer.remove_missing(key, epoch=epoch, source="models", incarnation="one", snapshot_revision=10)

    assert await remove("provider/default/old") is Outcome.APPLIED
    assert await remove("provider/default/new") is Outcome.OLD
    assert await remove("provider/default/never") is Outcome.OLD
    assert await remove("secret/default/old") is Outcome.OLD, "each source touches only its own keys"
    row = await row_of(redis, "provider/default/old")
    assert row is not None
    assert (row.revision, row.present) == (10, False)
    assert sorted([key async for key in writer.keys_of("models")]) == ["provider/default/new", "provider/default/old"]


async def test_rows_of_another_epoch_count_as_absent(writer: RouteWriter, redis: Redis) -> None:
    index = IndexEntry(index=listing_index("default"), field="gone", value="1")
    await open_table(writer)
    await writer.apply(put(KEY, 50))
    await writer.apply(put("virtual-model/default/gone", 51, index=[index]))
    epoch = await begin(writer)
    assert await writer.apply(put(KEY, 60)) is Outcome.NOT_OPEN, "floors and incarnations belong to an epoch"
    assert await writer.open_source(epoch, "models", "two", 7) is Outcome.APPLIED
    assert await writer.apply(put(KEY, 60)) is Outcome.OTHER_INCARNATION
    assert await writer.apply(put(KEY, 7, incarnation="two")) is Outcome.BELOW_FLOOR
    snapshot = put(KEY, 7, incarnation="two")
    assert await writer.apply_snapshot([snapshot], epoch=epoch, snapshot_revision=7) == [Outcome.APPLIED]
    removed = await writer.remove_missing(
        "virtual-model/default/gone", epoch=epoch, source="models", incarnation="two", snapshot_revision=7
    )
    assert removed is Outcome.APPLIED
    assert await fields_of(redis, listing_index("default")) == {}
    row = await row_of(redis)
    assert row is not None
    assert (row.epoch, row.revision) == (epoch, 7)


async def test_a_source_cannot_be_opened_with_another_incarnation(writer: RouteWriter) -> None:
    epoch = await open_table(writer)
    assert await writer.open_source(epoch, "models", "one", 99) is Outcome.APPLIED
    assert (await writer.state()).floors["models"] == 0, "opening again changes nothing"
    assert await writer.open_source(epoch, "models", "two", 1) is Outcome.OTHER_INCARNATION
    assert await writer.finish(epoch, "models", "two", 1, complete=True) is Outcome.OTHER_INCARNATION


async def test_an_epoch_is_replaced_by_one_only(writer: RouteWriter) -> None:
    first = await writer.begin_epoch(None, "a")
    assert await writer.begin_epoch(None, "b") == first
    replaced = await asyncio.gather(*(writer.begin_epoch(first, f"c{n}") for n in range(5)))
    assert len(set(replaced)) == 1
    assert replaced[0] != first


async def test_rebuild_writes_and_the_mark_fail_in_another_epoch(writer: RouteWriter) -> None:
    former = await open_table(writer, complete=False)
    await open_table(writer, complete=False)
    assert await writer.apply_snapshot([put(KEY, 1)], epoch=former, snapshot_revision=1) == [Outcome.NO_EPOCH]
    assert await writer.finish(former, "models", "one", 1, complete=True) is Outcome.NO_EPOCH
    assert await writer.open_source(former, "models", "one", 1) is Outcome.NO_EPOCH
    assert not (await writer.state()).is_complete("models")


async def test_an_epoch_of_another_server_counts_as_none(writer: RouteWriter, redis: Redis) -> None:
    await open_table(writer)
    await redis.set(keys.EPOCH, "ffff:old")
    await redis.set(keys.complete("models"), "ffff:old")
    state = await writer.state()
    assert state.stored_epoch == "ffff:old"
    assert state.epoch is None
    assert not state.is_complete("models")
    begun = await writer.begin_epoch("ffff:old", "new")
    assert begun == f"{state.run_id}:new"


async def test_index_entries_follow_their_row(writer: RouteWriter, redis: Redis) -> None:
    await open_table(writer)
    listing, vendor = listing_index("default"), "vendor/default/meta/llama-3.1"
    key = "virtual-model/default/a.b"
    both = [IndexEntry(index=listing, field="a.b", value="1"), IndexEntry(index=vendor, field="a.b")]
    await writer.apply(put(key, 1, index=both))
    assert await fields_of(redis, listing) == {"a.b": "1"}
    assert await fields_of(redis, vendor) == {"a.b": ""}
    await writer.apply(put(key, 2, index=[IndexEntry(index=listing, field="a.b", value="2")]))
    assert await fields_of(redis, listing) == {"a.b": "2"}
    assert await fields_of(redis, vendor) == {}
    await writer.apply(put(key, 1, index=both))
    assert await fields_of(redis, vendor) == {}, "an old change adds nothing"
    await writer.apply(delete(key, 3))
    assert await fields_of(redis, listing) == {}


async def test_a_snapshot_repairs_a_lost_index(writer: RouteWriter, redis: Redis) -> None:
    epoch = await open_table(writer)
    change = put("virtual-model/default/a", 1, index=[IndexEntry(index=listing_index("default"), field="a")])
    await writer.apply(change)
    await redis.delete(keys.index(listing_index("default")))
    assert await writer.apply_snapshot([change], epoch=epoch, snapshot_revision=1) == [Outcome.OLD]
    assert await fields_of(redis, listing_index("default")) == {"a": ""}


async def test_many_writes_at_once_go_out_together(writer: RouteWriter, redis: Redis) -> None:
    await open_table(writer)
    before = (await redis.info("stats"))["total_net_input_bytes"]
    outcomes = await asyncio.gather(*(writer.apply(put(f"model/default/m{n}", n)) for n in range(1, 501)))
    assert set(outcomes) == {Outcome.APPLIED}
    assert await redis.get(keys.HEAD) == "500"
    assert (await redis.info("stats"))["total_net_input_bytes"] - before < 500 * 1000, "scripts go by digest"


async def test_scripts_flushed_from_the_server_are_loaded_again(writer: RouteWriter, redis: Redis) -> None:
    await open_table(writer)
    await redis.script_flush()
    outcomes = await asyncio.gather(*(writer.apply(put(f"model/default/m{n}", n)) for n in range(1, 11)))
    assert set(outcomes) == {Outcome.APPLIED}


async def test_an_unreadable_row_is_written_over(writer: RouteWriter, redis: Redis) -> None:
    await open_table(writer)
    await redis.set(keys.row(KEY), "what is this")
    assert await writer.apply(put(KEY, 1)) is Outcome.APPLIED


async def test_a_newer_writer_may_append_to_a_rows_first_line(writer: RouteWriter, redis: Redis) -> None:
    epoch = await open_table(writer)
    await redis.set(keys.row(KEY), f"{epoch} models 5 1 put added=1 more\n[]\npayload")
    assert await writer.apply(put(KEY, 5)) is Outcome.OLD
    assert await writer.apply(put(KEY, 6)) is Outcome.APPLIED


async def test_redis_away_is_said_and_waited_for(writer: RouteWriter, valkey: ValkeyServer) -> None:
    await open_table(writer)
    await writer.wait_available()
    await asyncio.to_thread(valkey.kill)
    with pytest.raises(TableAwayError):
        await asyncio.gather(*(writer.apply(put(f"model/default/m{n}", n)) for n in range(1, 200)))
    with pytest.raises(TableAwayError):
        await writer.state()
    waiting = asyncio.create_task(writer.wait_available())
    _, still = await asyncio.wait([waiting], timeout=0.2)
    assert still
    await asyncio.to_thread(valkey.start)
    await asyncio.wait_for(waiting, 5)
    assert await writer.apply(put(KEY, 1)) is Outcome.NO_EPOCH


async def test_a_silent_server_is_away_after_a_second(valkey: ValkeyServer) -> None:
    async with RouteWriter(valkey.url, timeout_s=0.3) as writer:
        await open_table(writer)
        valkey.pause()
        try:
            with pytest.raises(TableAwayError):
                await asyncio.wait_for(writer.apply(put(KEY, 1)), 3)
        finally:
            valkey.resume()


async def test_settings_that_would_break_the_rules_are_named(writer: RouteWriter, redis: Redis) -> None:
    assert await writer.check_server() == []
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    await redis.config_set("appendonly", "yes")
    await redis.config_set("save", "60 1")
    problems = await writer.check_server()
    assert len(problems) == 3
    assert any("noeviction" in problem for problem in problems)


async def test_locks_end_by_themselves(writer: RouteWriter) -> None:
    assert await writer.try_lock("a", 30)
    assert not await writer.try_lock("a", 30)
    await writer.unlock("a")
    assert await writer.try_lock("a", 0.01)
    await asyncio.sleep(0.05)
    assert await writer.try_lock("a", 30)

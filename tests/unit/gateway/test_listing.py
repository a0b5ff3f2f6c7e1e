"""The listing of models: kept while it holds, made again when anything it rests on has changed."""

import asyncio
import json

import pytest

from modelport_contracts.records import ModelRecord, ServedBy, TargetRecord, VirtualModelRecord, listing_index
from modelport_gateway.errors import NotFoundError
from modelport_gateway.route.listing import Listings
from modelport_testing.gateway_harness import MemoryTable

INDEX = listing_index("ws")


def put_entity(table: MemoryTable, name: str, *served_ids: str) -> None:
    by = tuple(ServedBy(provider="ws/p", served_id=served_id) for served_id in served_ids)
    table.put(f"model/ws/{name}", ModelRecord(workspace="ws", name=name, served_by=by).payload())


def put_model(table: MemoryTable, name: str, *targets: str) -> None:
    models = tuple(TargetRecord(model=f"ws/{target}", priority=0) for target in targets)
    record = VirtualModelRecord(workspace="ws", name=name, created=1, default_model_entity=None, models=models)
    table.put(f"virtual-model/ws/{name}", record.payload())
    table.indexes[INDEX] = {**table.indexes.get(INDEX, {}), name: "1"}


@pytest.fixture
def table() -> MemoryTable:
    table = MemoryTable()
    for name in ("bb", "aa"):
        put_entity(table, name, "x")
        put_model(table, name, name)
    return table


async def names(listings: Listings) -> list[str]:
    return [model["id"] for model in json.loads(await listings.list_models("ws"))["data"]]


async def test_a_listing_that_holds_is_not_made_again(table: MemoryTable) -> None:
    listings = Listings(table)
    first = await listings.list_models("ws")
    assert await names(listings) == ["ws/aa", "ws/bb"]
    table.asked.clear()
    assert await listings.list_models("ws") is first
    assert table.asked == []


async def test_every_change_shows(table: MemoryTable) -> None:
    listings = Listings(table)
    assert await names(listings) == ["ws/aa", "ws/bb"]
    put_entity(table, "aa")
    assert await names(listings) == ["ws/bb"]
    table.remove("model/ws/bb", 2)
    assert await names(listings) == []
    put_entity(table, "cc", "y")
    put_model(table, "aa", "none", "cc")
    assert await names(listings) == ["ws/aa"], "one of several that is served is enough"
    put_model(table, "dd", "cc")
    assert await names(listings) == ["ws/aa", "ws/dd"]
    table.remove("virtual-model/ws/aa", 2)
    assert await names(listings) == ["ws/dd"]
    table.hides = True
    put_entity(table, "cc")
    assert await names(listings) == [], "what is in doubt is asked for"


async def test_a_long_listing_lets_others_have_their_turn() -> None:
    table = MemoryTable()
    for number in range(1000):
        put_entity(table, f"m{number}", "x")
        put_model(table, f"m{number}", f"m{number}")
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    assert len(await names(Listings(table))) == 1000
    other.cancel()
    assert turns >= 9


async def test_one_model(table: MemoryTable) -> None:
    listings = Listings(table)
    for model_id in ("aa", "ws/aa"):
        assert json.loads(await listings.show_model("ws", model_id))["id"] == "ws/aa"
    for model_id in ("zz", "other/aa", "A" * 5000):
        with pytest.raises(NotFoundError) as caught:
            await listings.show_model("ws", model_id)
        assert len(str(caught.value)) < 300

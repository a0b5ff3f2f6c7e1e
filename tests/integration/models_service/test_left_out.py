"""A model that more providers serve than its record has room for (docs/propagation.md, rule 6)."""

import json
from collections.abc import Callable

from sqlalchemy import select

from modelport_contracts.records import MAX_RECORD_BYTES
from modelport_contracts.resources.providers import ProviderCreate, ProviderStatusUpdate, ServedModel
from modelport_kit.database.engine import Database
from modelport_kit.database.tables import OUTBOX
from modelport_models.store import Stores

Open = Callable[[], tuple[Stores, Database]]
PROVIDERS = ("aa", "mm", "zz")


def ids(name: str, count: int) -> list[ServedModel]:
    """Long ids of one entity: discovery gives every id one of its own, a user may do otherwise."""
    return [
        ServedModel(model_entity_id="default/shared", served_model_name=f"{name}-{number:03}-{'x' * 500}")
        for number in range(count)
    ]


async def named_in_the_record(database: Database) -> set[tuple[str, str]]:
    """Who the newest record of the entity names, within its limit."""
    statement = select(OUTBOX).where(OUTBOX.c.key == "model/default/shared").order_by(OUTBOX.c.revision.desc()).limit(1)
    async with database.read() as connection:
        row = (await connection.execute(statement)).one()
    assert len(row.payload) <= MAX_RECORD_BYTES
    if row.operation == "delete":
        return set()
    return {
        (item["provider"].removeprefix("default/"), item["served_id"]) for item in json.loads(row.payload)["served_by"]
    }


async def test_a_provider_says_so_exactly_while_its_models_record_leaves_it_out(open_stores: Open) -> None:
    stores, database = open_stores()
    for name in PROVIDERS:
        await stores.providers.create("default", ProviderCreate(name=name, host_url="https://models.example"))
    seen = set()
    for name, count in (
        *[("zz", 3), ("aa", 130), ("mm", 1), ("zz", 0), ("zz", 2), ("aa", 60), ("mm", 60), ("mm", 50)],
        *[("aa", 0), ("mm", 0), ("zz", 0)],
    ):
        body = ProviderStatusUpdate(served_models=ids(name, count), status_message="by hand")
        replied, _ = await stores.providers.set_status("default", name, body)
        named = await named_in_the_record(database)
        for provider in PROVIDERS:
            shown, _ = await stores.providers.get("default", provider)
            if provider == name:
                assert shown == replied
            left_out = {one.served_model_name for one in shown.served_models} - {
                served_id for who, served_id in named if who == provider
            }
            assert ("no room for this one" in shown.status_message) == bool(left_out), (provider, name, count)
            seen.add((provider, bool(left_out)))
    assert seen == {(provider, left_out) for provider in PROVIDERS for left_out in (False, True)}


async def test_a_deleted_provider_makes_room(open_stores: Open) -> None:
    stores, database = open_stores()
    for name, count in (("aa", 130), ("zz", 1)):
        await stores.providers.create("default", ProviderCreate(name=name, host_url="https://models.example"))
        await stores.providers.set_status("default", name, ProviderStatusUpdate(served_models=ids(name, count)))
    assert (await stores.providers.get("default", "zz"))[0].status_message == (
        "so many providers serve shared that the routing table has no room for this one: "
        "calls go to the others, and reach this one through the provider route only"
    )
    await stores.providers.delete("default", "aa")
    assert (await stores.providers.get("default", "zz"))[0].status_message == ""
    assert {provider for provider, _ in await named_in_the_record(database)} == {"zz"}

"""The whole source, page by page, while it changes (docs/propagation.md, rules 2 and 14)."""

from collections.abc import Callable

import pytest

from modelport_contracts.records import Change
from modelport_contracts.resources.models import ModelCreate
from modelport_contracts.resources.providers import ProviderCreate, ProviderStatusUpdate, ServedModel
from modelport_contracts.resources.virtual_models import VirtualModelCreate
from modelport_kit.database.engine import Database
from modelport_models.store import Stores

Open = Callable[[], tuple[Stores, Database]]


async def fill(stores: Stores) -> None:
    await stores.workspaces.create("team.x", None)
    for workspace in ("default", "team.x"):
        for number in range(5):
            body = ProviderCreate.model_validate({"name": f"provider-{number}", "host_url": "https://h.example"})
            await stores.providers.create(workspace, body)
        await stores.models.create(workspace, ModelCreate(name="mine"))
        await stores.virtual_models.create(workspace, VirtualModelCreate(name="gpt-*"))
        served = [ServedModel(model_entity_id=f"{workspace}/gpt-4", served_model_name="gpt-4")]
        await stores.providers.set_status(workspace, "provider-1", ProviderStatusUpdate(served_models=served))


async def pages(stores: Stores, limit: int) -> list[Change]:
    found: list[Change] = []
    cursor: str | None = None
    revisions = set()
    while True:
        page = await stores.sync.snapshot(cursor, limit)
        revisions.add((page.incarnation, page.revision))
        found += [record.change() for record in page.records]
        cursor = page.next
        if cursor is None:
            break
    assert len(revisions) == 1
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
async def test_pages_of_any_size_show_everything_once(stores: Stores, limit: int) -> None:
    await fill(stores)
    found = await pages(stores, limit)
    keys = [change.envelope.key for change in found]
    assert len(keys) == len(set(keys))
    resources = [
        f"provider/{workspace}/provider-{number}" for workspace in ("default", "team.x") for number in range(5)
    ]
    for workspace in ("default", "team.x"):
        resources += [f"model/{workspace}/mine", f"model/{workspace}/gpt-4"]
        resources += [f"virtual-model/{workspace}/gpt-*", f"virtual-model/{workspace}/gpt-4"]
    resources += [
        "provider/system/nvidia-build",
        *(f"workspace/{name}/{name}" for name in ("default", "system", "team.x")),
    ]
    assert sorted(keys) == sorted(resources)


async def test_a_snapshot_and_the_changes_say_the_same(stores: Stores) -> None:
    await fill(stores)
    changes = await stores.sync.changes(0)
    assert changes.complete
    told = {record.envelope.key: record.change() for record in changes.records}
    assert {change.envelope.key: change for change in await pages(stores, 1000)} == told


async def test_rows_that_change_between_pages(stores: Stores) -> None:
    await fill(stores)
    first = await stores.sync.snapshot(None, 5)
    second = await stores.sync.snapshot(first.next, 3)
    assert [record.envelope.key for record in second.records][-1] == "provider/default/provider-2"
    await stores.providers.delete("default", "provider-2")
    await stores.providers.delete("team.x", "provider-4")
    await stores.workspaces.create("aaa", None)
    body = ProviderCreate.model_validate({"name": "aaa", "host_url": "https://h.example"})
    await stores.providers.create("default", body)
    _, zzz = await stores.providers.create("team.x", body.model_copy(update={"name": "zzz"}))
    found: dict[str, int] = {}
    cursor = second.next
    while cursor:
        page = await stores.sync.snapshot(cursor, 2)
        assert (page.incarnation, page.revision) == (first.incarnation, first.revision)
        found.update({record.envelope.key: record.envelope.revision for record in page.records})
        cursor = page.next
    assert found["provider/team.x/zzz"] == zzz > first.revision
    assert "provider/team.x/provider-4" not in found
    assert "provider/default/aaa" not in found, "it is before the cursor: the changes after the snapshot tell of it"
    missed = {
        record.envelope.key: record.envelope.operation for record in (await stores.sync.changes(first.revision)).records
    }
    assert missed["provider/default/aaa"] == "put"
    assert missed["provider/default/provider-2"] == missed["provider/team.x/provider-4"] == "delete"


@pytest.mark.parametrize("cursor", ["", "1", "1/9/a/b", "1/-1/a/b", "x/0/a/b", "1/0/a", "1/0/a/b/c"])
async def test_cursors_of_another_make(stores: Stores, cursor: str) -> None:
    with pytest.raises(ValueError):
        await stores.sync.snapshot(cursor, 10)

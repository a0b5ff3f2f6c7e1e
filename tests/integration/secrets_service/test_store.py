"""The secrets service's database: versions, markers, snapshots (docs/propagation.md, rules 1 and 23)."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from modelport_contracts.records import SecretRecord
from modelport_contracts.sync import SyncRecord
from modelport_kit.database.engine import Database
from modelport_kit.database.migrate import prepare
from modelport_kit.errors import ConflictError, NotFoundError
from modelport_kit.lists import PageRequest
from modelport_secrets.app import MIGRATIONS
from modelport_secrets.keyring import Keyring
from modelport_secrets.local_key import LocalKey
from modelport_secrets.store import SecretStore
from modelport_secrets.tables import SECRET
from modelport_testing.canaries import Kind, canary

VALUE, NGC = canary(Kind.PROVIDER, "hunter2-"), canary(Kind.PROVIDER, "nvapi-")
Open = Callable[[], SecretStore]


@pytest.fixture
async def open_store(database_url: str) -> AsyncIterator[Open]:
    """Opens the store; each call makes another pool, as another replica would have, with the same key."""
    await prepare(database_url, "secrets", MIGRATIONS, migrate_now=True)
    keyring = Keyring([LocalKey(os.urandom(32), "a test")])
    async with AsyncExitStack() as stack:

        def opened() -> SecretStore:
            database = Database(database_url, "secrets")
            stack.push_async_callback(database.close)
            return SecretStore(database, keyring, lambda: datetime.now(UTC).replace(tzinfo=None))

        yield opened


@pytest.fixture
def store(open_store: Open) -> SecretStore:
    return open_store()


def told(records: list[SyncRecord]) -> dict[str, int | None]:
    """What changes say: each secret's version, None for one that is gone."""
    versions: dict[str, int | None] = {}
    for record in records:
        name = record.envelope.key.removeprefix("secret/")
        if record.envelope.operation == "delete":
            versions[name] = None
            continue
        marker = SecretRecord.model_validate_json(record.payload)
        assert f"{marker.workspace}/{marker.name}" == name
        assert marker.version == record.envelope.revision
        versions[name] = marker.version
    return versions


async def test_a_version_is_its_revision(store: SecretStore) -> None:
    _, first = await store.create("team", "w1", "key", "one", None)
    _, second = await store.update("team", "w1", "key", "two", None, set_description=False)
    revealed = await store.reveal("team", "key")
    assert (revealed.value, revealed.version) == ("two", second)
    assert second > first
    _, described = await store.update("team", "w1", "key", None, "ours", set_description=True)
    assert described == second
    assert told((await store.changes(0)).records) == {"team/key": second}
    gone = await store.delete("team", "w1", "key")
    assert gone > second
    assert told((await store.changes(0)).records) == {"team/key": None}
    with pytest.raises(NotFoundError):
        await store.reveal("team", "key")
    _, again = await store.create("team", "w1", "key", "three", None)
    assert again > gone, "a secret stored anew is never taken for the old one"


async def test_concurrent_writers_seal_under_the_version_they_get(open_store: Open) -> None:
    stores = [open_store() for _ in range(3)]
    await stores[0].create("team", "w1", "key", "first", None)

    async def rotate(store: SecretStore, number: int) -> None:
        for step in range(5):
            await store.update("team", "w1", "key", f"{number}-{step}", None, set_description=False)
            revealed = await store.reveal("team", "key")  # opens only if row and seal name one version
            assert revealed.version > 1

    await asyncio.gather(*(rotate(store, number) for number, store in enumerate(stores)))
    revealed = await stores[0].reveal("team", "key")
    assert revealed.version == 16
    assert told((await stores[0].changes(0)).records) == {"team/key": 16}


async def test_of_two_who_store_one_name_one_is_told(open_store: Open) -> None:
    stores = [open_store() for _ in range(4)]
    outcomes = await asyncio.gather(
        *(store.create("team", "w1", "key", f"value {number}", None) for number, store in enumerate(stores)),
        return_exceptions=True,
    )
    made = [number for number, outcome in enumerate(outcomes) if not isinstance(outcome, BaseException)]
    assert len(made) == 1
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 3
    assert (await stores[0].reveal("team", "key")).value == f"value {made[0]}"


async def test_pages_while_rows_change(store: SecretStore) -> None:
    for number in range(9):
        await store.create("team" if number % 2 else "a.team", "w1", f"key-{number}", "v", None)
    await store.set_built_in(None)
    first = await store.snapshot(None, 3)
    assert list(told(first.records)) == ["a.team/key-0", "a.team/key-2", "a.team/key-4"]
    await store.delete("team", "w1", "key-7")
    await store.update("team", "w1", "key-5", "new", None, set_description=False)
    await store.create("a.team", "w1", "key-1", "v", None)
    found, cursor = told(first.records), first.next
    while cursor is not None:
        page = await store.snapshot(cursor, 3)
        assert (page.revision, page.incarnation) == (first.revision, first.incarnation)
        found |= told(page.records)
        cursor = page.next
    assert list(found) == [*(f"a.team/key-{n}" for n in (0, 2, 4, 6, 8)), *(f"team/key-{n}" for n in (1, 3, 5))]
    assert found["team/key-5"] is not None
    assert found["team/key-5"] > first.revision
    assert set(told((await store.changes(first.revision)).records)) == {"team/key-7", "team/key-5", "a.team/key-1"}
    for cursor in ("", "1/a", "x/a/b", "1/a/b/c"):
        with pytest.raises(ValueError):
            await store.snapshot(cursor, 3)


async def test_a_workspace_that_is_gone_takes_only_its_own(store: SecretStore) -> None:
    for workspace_id, name in (("old", "one"), ("old", "two"), ("new", "three")):
        await store.create("team", workspace_id, name, "v", None)
    await store.create("other", "third", "one", "v", None)
    assert await store.workspaces() == {"team": {"old", "new"}, "other": {"third"}}
    assert await store.workspaces("team") == {"team": {"old", "new"}}
    before = (await store.changes(0)).revision
    assert await store.delete_workspace("team", "old") == 2
    assert await store.delete_workspace("team", "old") == 0
    changes = await store.changes(before)
    assert changes.revision == before + 1, "one transaction, one revision"
    assert told(changes.records) == {"team/one": None, "team/two": None}
    assert (await store.reveal("team", "three")).value == "v"


async def test_a_former_workspaces_secrets_are_not_there(store: SecretStore) -> None:
    await store.create("team", "old", "key", "v", None)
    before = (await store.changes(0)).revision
    with pytest.raises(NotFoundError):
        await store.get("team", "new", "key")
    for value, describe in (("w", False), (None, True)):
        with pytest.raises(NotFoundError):
            await store.update("team", "new", "key", value, "ours", set_description=describe)
    with pytest.raises(NotFoundError):
        await store.delete("team", "new", "key")
    request = PageRequest(page=1, page_size=10)
    for workspace_id, names in (("new", []), ("old", ["key"])):
        listed, position = await store.list("team", workspace_id, request)
        assert ([one.name for one in listed], position.total_results) == (names, len(names))
    assert (await store.changes(before)).records == [], "nothing was changed"
    assert (await store.get("team", "old", "key"))[0].description is None
    revealed = await store.reveal("team", "key")
    assert (revealed.value, revealed.workspace_id) == ("v", "old")


async def test_the_built_in_secret(open_store: Open) -> None:
    stores = [open_store() for _ in range(3)]
    await asyncio.gather(*(store.set_built_in(NGC) for store in stores))
    revealed = await stores[0].reveal("system", "ngc-api-key")
    assert revealed.value == NGC
    await stores[0].set_built_in(None)
    with pytest.raises(NotFoundError) as caught:
        await stores[0].reveal("system", "ngc-api-key")
    assert caught.value.code == "secret_not_set"
    assert told((await stores[0].snapshot(None, 10)).records) == {}
    assert (await stores[0].get("system", "w-system", "ngc-api-key"))[0].name == "ngc-api-key"


async def test_nothing_in_the_database_holds_a_value(store: SecretStore, database_url: str) -> None:
    await store.create("team", "w1", "key", VALUE, "a description")
    database = Database(database_url, "secrets")
    async with database.read() as connection:
        row = (await connection.execute(select(SECRET))).one()
    await database.close()
    assert VALUE.encode() not in b"".join(value for value in row if isinstance(value, bytes))
    assert row.ciphertext

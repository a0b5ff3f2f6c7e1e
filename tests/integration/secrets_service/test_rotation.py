"""Key-encryption keys and what is stored: wrapping anew online, and starting with the keys that are needed."""

import asyncio
import itertools
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select, text

from modelport_kit.database.audit import AuditTrail
from modelport_kit.database.engine import Database
from modelport_kit.database.migrate import prepare
from modelport_kit.errors import AwayError, NotFoundError
from modelport_kit.lists import PageRequest
from modelport_kit.settings import SettingsError
from modelport_secrets.app import MIGRATIONS
from modelport_secrets.keyring import KeyProvider, KeyRefusedError, Keyring
from modelport_secrets.local_key import LocalKey
from modelport_secrets.rotation import AT_MOST_S, check, rotate, wait_until_checked
from modelport_secrets.sealing import WrappedKey
from modelport_secrets.store import SecretStore
from modelport_secrets.tables import SECRET
from modelport_secrets.vault import VaultAccess, VaultKey
from modelport_secrets.wrapped_keys import StoredKey, WrappedKeys
from modelport_testing.polling import eventually
from modelport_testing.transit import TransitServer, start_transit

ROOT = Path(__file__).resolve().parents[3]
BATCH = 4
OLD, NEW, LOST = (LocalKey(os.urandom(32), "a test") for _ in range(3))
BEFORE, AFTER = Keyring([OLD]), Keyring([NEW, OLD])
on_sqlite = pytest.mark.parametrize("database_server", ["sqlite"], indirect=True)
"""For what PostgreSQL has no part in."""


class Replica:
    """What one process has of the secrets: a pool of its own, and its keys."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self.database = database
        self.keyring = keyring
        self.keys = WrappedKeys(database)
        self.store = SecretStore(database, keyring, lambda: datetime.now(UTC).replace(tzinfo=None))

    async def fill(self, count: int) -> None:
        for number in range(count):
            await self.store.create("team", "w1", f"key-{number}", f"value {number}", None)

    async def values(self, count: int) -> list[str]:
        return [(await self.store.reveal("team", f"key-{number}")).value for number in range(count)]

    async def rotate(self) -> tuple[int, bool]:
        done = await rotate(self.keys, self.keyring)
        return done.rotated_secrets, done.success

    async def rows(self) -> dict[str, tuple[str, bytes]]:
        async with self.database.read() as connection:
            return {row.name: (row.kek_id, row.wrapped_key) for row in await connection.execute(select(SECRET))}


Open = Callable[[Keyring], Replica]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelport_secrets.rotation.BATCH", BATCH)


@pytest.fixture
async def opened(database_url: str) -> AsyncIterator[Open]:
    await prepare(database_url, "secrets", MIGRATIONS, migrate_now=True)
    async with AsyncExitStack() as stack:

        def open_one(keyring: Keyring) -> Replica:
            database = Database(database_url, "secrets")
            stack.push_async_callback(database.close)
            return Replica(database, keyring)

        yield open_one


@pytest.fixture
def vault() -> Iterator[TransitServer]:
    with start_transit() as running:
        yield running


@pytest.fixture
async def vault_key(vault: TransitServer, tmp_path: Path) -> AsyncIterator[VaultKey]:
    token = tmp_path / "vault.token"
    token.write_text(vault.token)
    key = VaultKey(VaultAccess(vault.url, token, "modelport"))
    yield key
    await key.close()


async def test_all_are_wrapped_anew_and_nothing_else_moves(opened: Open) -> None:
    count = BATCH + 7
    before = opened(BEFORE)
    await before.fill(count)
    await before.store.set_built_in(None)  # without a value there is nothing to wrap
    marked = await before.store.snapshot(None, 1000)
    known = [await before.store.get("team", "w1", f"key-{number}") for number in range(count)]
    after = opened(AFTER)
    await after.store.create("team", "w1", "fresh", "v", None)
    changes = (await after.store.changes(0)).revision
    assert await after.rotate() == (count, True)
    assert await after.rotate() == (0, True), "there is nothing left to do"
    assert await after.keys.kek_ids() == [NEW.kek_id]
    alone = opened(Keyring([NEW]))
    assert await alone.values(count) == [f"value {number}" for number in range(count)]
    assert (await alone.store.changes(0)).revision == changes, "no gateway hears of it"
    assert [one for one in (await alone.store.snapshot(None, 1000)).records if "fresh" not in one.envelope.key] == (
        marked.records
    )
    assert [await alone.store.get("team", "w1", f"key-{number}") for number in range(count)] == known
    told = [one for one in (await AuditTrail(alone.database).list(PageRequest()))[0] if one.action == "rotate"]
    assert {(one.kind, one.name) for one in told} == {("encryption-key", NEW.kek_id)}
    assert sum((one.after or {})["rotated_secrets"] for one in told) == count


class Dying(LocalKey):
    """A key whose process is killed after so many keys were wrapped."""

    def __init__(self, key: LocalKey, after: int) -> None:
        super().__init__(key._key, "a test")
        self.left = after

    async def wrap(self, clear: bytes) -> WrappedKey:
        self.left -= 1
        if self.left < 0:
            raise asyncio.CancelledError
        return await super().wrap(clear)


@on_sqlite
async def test_killed_at_any_point_it_goes_on_where_it_was(opened: Open) -> None:
    count = BATCH * 2 + 5
    await opened(BEFORE).fill(count)
    for survived in (0, BATCH + 1):
        with pytest.raises(asyncio.CancelledError):
            await opened(Keyring([Dying(NEW, survived), OLD])).rotate()
        assert await opened(AFTER).values(count) == [f"value {number}" for number in range(count)]
    assert sum(kek_id == NEW.kek_id for kek_id, _ in (await opened(AFTER).rows()).values()) == BATCH
    assert await opened(AFTER).rotate() == (count - BATCH, True), "what was done is not done again"


@on_sqlite
async def test_a_call_takes_only_so_long(opened: Open) -> None:
    replica = opened(AFTER)
    await opened(BEFORE).fill(BATCH + 1)
    ticks = itertools.chain([0, 0], itertools.repeat(AT_MOST_S))
    done = await rotate(replica.keys, replica.keyring, lambda: next(ticks))
    assert (done.rotated_secrets, done.success) == (BATCH, False)
    assert await replica.rotate() == (1, True)


async def test_several_replicas_at_once_count_each_secret_once(opened: Open) -> None:
    count = BATCH * 2 + 5
    await opened(BEFORE).fill(count)
    replicas = [opened(AFTER) for _ in range(3)]
    counts = await asyncio.gather(*(replica.rotate() for replica in replicas))
    assert sum(rotated for rotated, _ in counts) == count
    assert await replicas[0].rotate() == (0, True)
    assert await opened(Keyring([NEW])).values(count) == [f"value {number}" for number in range(count)]


async def test_a_value_changed_meanwhile_is_not_overwritten(opened: Open) -> None:
    before, after = opened(BEFORE), opened(AFTER)
    await before.fill(3)
    stored = await after.keys.not_under(NEW.kek_id, "", 10)
    renewed = [(one, await AFTER.rewrap(one.key)) for one in stored]
    await before.store.update("team", "w1", "key-0", "of an old replica", None, set_description=False)
    await after.store.update("team", "w1", "key-1", "of a new one", None, set_description=False)
    changed = await after.rows()
    assert await after.keys.replace(renewed) == 1
    rows = await after.rows()
    assert (rows["key-0"], rows["key-1"]) == (changed["key-0"], changed["key-1"])
    assert await after.values(3) == ["of an old replica", "of a new one", "value 2"]
    assert await after.rotate() == (1, True)
    assert await opened(Keyring([NEW])).values(3) == ["of an old replica", "of a new one", "value 2"]


async def test_users_go_on_while_keys_are_wrapped_anew(opened: Open) -> None:
    count = 12
    await opened(BEFORE).fill(count)
    writers = [opened(BEFORE), opened(AFTER)]
    last: dict[int, str] = {}

    async def write(replica: Replica, numbers: range) -> None:
        for step in range(3):
            for number in numbers:
                last[number] = f"{number} at step {step}"
                await replica.store.update("team", "w1", f"key-{number}", last[number], None, set_description=False)

    async def rotate_on() -> None:
        while not all(task.done() for task in writing):
            await rotator.rotate()

    rotator = opened(AFTER)
    writing = [asyncio.ensure_future(write(one, range(start, count, 2))) for start, one in enumerate(writers)]
    await asyncio.gather(rotate_on(), *writing)
    await rotator.rotate()
    alone = opened(Keyring([NEW]))
    assert await alone.keys.kek_ids() == [NEW.kek_id]
    assert await alone.values(count) == [last[number] for number in range(count)]


@on_sqlite
async def test_what_cannot_be_opened_is_left_and_said(opened: Open) -> None:
    replica = opened(AFTER)
    await opened(BEFORE).fill(BATCH + 3)
    altered = WrappedKey(OLD.kek_id, b"\0" * 60)
    first = await replica.keys.not_under(NEW.kek_id, "", BATCH)
    assert await replica.keys.replace([(one, altered) for one in first]) == BATCH
    await opened(Keyring([LOST])).store.create("team", "w1", "lost", "v", None)
    assert await replica.rotate() == (3, False)
    assert await replica.rotate() == (0, False)
    await check(replica.keys, Keyring([NEW, OLD, LOST]))


@on_sqlite
async def test_a_missing_key_is_named_at_the_start(opened: Open) -> None:
    replica = opened(BEFORE)
    await check(replica.keys, Keyring([NEW]))  # nothing is stored yet
    await replica.fill(1)
    await opened(Keyring([LOST])).store.create("team", "w1", "lost", "v", None)
    for ring in (Keyring([NEW]), Keyring([NEW, OLD])):
        with pytest.raises(
            SettingsError, match=f"need the key-encryption key .*{LOST.kek_id}.*{NEW.kek_id}.*give it as well"
        ) as caught:
            await wait_until_checked(replica.keys, ring)
        assert (OLD.kek_id in str(caught.value).partition("; what is given")[0]) == (ring.labels == [NEW.label])
    await wait_until_checked(replica.keys, Keyring([NEW, OLD, LOST]))
    await replica.store.delete("team", "w1", "lost")
    await wait_until_checked(replica.keys, Keyring([NEW, OLD]))


async def test_a_lost_key_is_given_up(opened: Open) -> None:
    replica = opened(Keyring([NEW]))
    await opened(Keyring([LOST])).fill(2)
    emptied = "UPDATE secret SET kek_id = NULL, wrapped_key = NULL, ciphertext = NULL WHERE kek_id = "
    async with replica.database.write() as write:
        await write.execute(text(f"{emptied}'{LOST.kek_id}'"))
    assert emptied in (ROOT / "docs/encryption.md").read_text()
    await check(replica.keys, replica.keyring)
    with pytest.raises(NotFoundError) as caught:
        await replica.store.reveal("team", "key-0")
    assert caught.value.code == "secret_not_set"
    await replica.store.update("team", "w1", "key-0", "given again", None, set_description=False)
    assert (await replica.store.reveal("team", "key-0")).value == "given again"
    assert await replica.rotate() == (0, True)


@on_sqlite
async def test_from_a_file_into_vault_through_its_rotation_and_back(
    opened: Open, vault: TransitServer, vault_key: VaultKey
) -> None:
    values = [f"value {number}" for number in range(5)]
    await opened(BEFORE).fill(5)
    into: list[KeyProvider] = [vault_key, OLD]
    assert await opened(Keyring(into)).rotate() == (5, True)
    alone = opened(Keyring([vault_key]))
    await check(alone.keys, alone.keyring)
    assert await alone.values(5) == values
    assert await alone.rotate() == (0, True)
    vault.keys["modelport"].rotate()
    vault.asked.clear()
    assert await alone.rotate() == (5, True)
    assert sorted(vault.asked) == ["keys", *["rewrap"] * 5]
    assert await alone.keys.kek_ids() == ["vault:transit/modelport:v2"]
    vault.keys["modelport"].min_decryption_version = 2
    assert await alone.values(5) == values
    back: list[KeyProvider] = [NEW, vault_key]
    assert await opened(Keyring(back)).rotate() == (5, True)
    vault.stop()
    assert await opened(Keyring([NEW])).values(5) == values
    vault.start()


@on_sqlite
async def test_while_vault_is_away(opened: Open, vault: TransitServer, vault_key: VaultKey) -> None:
    replica = opened(Keyring([vault_key]))
    await replica.fill(BATCH + 2)
    vault.keys["modelport"].rotate()
    vault.is_sealed = True
    for ask in (
        lambda: replica.store.reveal("team", "key-0"),
        lambda: replica.store.create("team", "w1", "other", "v", None),
        lambda: replica.store.update("team", "w1", "key-0", "v", None, set_description=False),
        replica.rotate,
    ):
        with pytest.raises(AwayError, match="Vault is sealed") as caught:
            await ask()
        assert caught.value.code == "vault_away"
    assert (await replica.store.update("team", "w1", "key-0", None, "ours", set_description=True))[0].description
    starting = asyncio.ensure_future(wait_until_checked(replica.keys, replica.keyring))
    assert await asyncio.wait([starting], timeout=0.3) == (set(), {starting}), "it waits"
    vault.is_sealed = False
    await asyncio.wait_for(starting, 10)
    assert await replica.values(2) == ["value 0", "value 1"]


@on_sqlite
async def test_a_rotation_that_vault_cuts_short(opened: Open, vault: TransitServer, vault_key: VaultKey) -> None:
    replica = opened(Keyring([vault_key]))
    await replica.fill(BATCH * 3)
    vault.keys["modelport"].rotate()
    replace = replica.keys.replace

    async def replace_and_forbid(renewed: list[tuple[StoredKey, WrappedKey]]) -> int:
        count = await replace(renewed)
        vault.may.discard("rewrap")
        return count

    replica.keys.replace = replace_and_forbid  # type: ignore[method-assign, assignment]
    assert await replica.rotate() == (BATCH, False), "what was done counts"
    assert vault.asked.count("rewrap") == 2 * BATCH, "it does not go on asking"
    with pytest.raises(KeyRefusedError, match="policy lacks this"):
        await replica.rotate()
    vault.may.add("rewrap")
    assert await opened(replica.keyring).rotate() == (2 * BATCH, True)


@on_sqlite
async def test_a_start_that_vault_refuses(opened: Open, vault: TransitServer, vault_key: VaultKey) -> None:
    replica = opened(Keyring([vault_key]))
    await replica.fill(1)
    vault.may.remove("decrypt")
    with pytest.raises(SettingsError, match=r"403 .*policy lacks this .docs/encryption\.md"):
        await wait_until_checked(replica.keys, replica.keyring)
    vault.may.add("decrypt")
    vault.keys["modelport"].versions[1] = os.urandom(32)  # made again under the same name
    with pytest.raises(SettingsError, match="need the key-encryption key vault:transit/modelport:v1"):
        await wait_until_checked(replica.keys, replica.keyring)


def holding(folder: Path, *pieces: bytes) -> list[str]:
    """Return the files that hold one of some bytes."""
    return [file.name for file in sorted(folder.iterdir()) if any(piece in file.read_bytes() for piece in pieces)]


@pytest.mark.parametrize("change", ["delete", "update", "rotate", "delete_workspace"])
async def test_sqlite_keeps_nothing_of_what_was_removed(tmp_path: Path, change: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    url = f"sqlite:///{folder / 'secrets.db'}"
    await prepare(url, "secrets", MIGRATIONS, migrate_now=True)
    database = Database(url, "secrets")
    replica = Replica(database, BEFORE)
    await replica.fill(20)
    # so long that it lies on pages of its own
    await replica.store.create("team", "w1", "long", "x" * 20_000, None)
    with closing(sqlite3.connect(folder / "secrets.db")) as looking:
        [(wrapped, sealed)] = looking.execute("SELECT wrapped_key, ciphertext FROM secret WHERE name = 'long'")
    pieces = [wrapped, *(sealed[at : at + 16] for at in range(0, len(sealed), 1000))]
    assert await database.erase()
    assert holding(folder, *pieces) == ["secrets.db"]
    if change == "delete":
        await replica.store.delete("team", "w1", "long")
    elif change == "update":
        await replica.store.update("team", "w1", "long", "short", None, set_description=False)
    elif change == "delete_workspace":
        await replica.store.delete_workspace("team", "w1")
    else:
        assert await Replica(database, AFTER).rotate() == (21, True)
        pieces = [wrapped]
    assert await database.erase()
    assert holding(folder, *pieces) == []
    assert database.counts.transactions["write", "committed"] > 0
    await database.close()


async def test_the_journal_is_emptied_by_and_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelport_kit.database.engine.ERASE_EVERY_S", 0.01)
    url = f"sqlite:///{tmp_path / 'secrets.db'}"
    await prepare(url, "secrets", MIGRATIONS, migrate_now=True)
    database = Database(url, "secrets")
    erased: list[None] = []
    erasing = asyncio.ensure_future(database.erase_for_ever(lambda: erased.append(None)))
    await Replica(database, BEFORE).fill(1)
    journal = tmp_path / "secrets.db-wal"
    await eventually(lambda: erased and journal.stat().st_size == 0, 10)
    with closing(sqlite3.connect(tmp_path / "secrets.db", isolation_level=None)) as reader:
        reader.execute("BEGIN").execute("SELECT * FROM secret").fetchall()
        await Replica(database, BEFORE).store.delete("team", "w1", "key-0")
        began = time.monotonic()
        assert not await database.erase()
        assert time.monotonic() - began < 2, "a reader may take its time, and writers do not wait for it"
        assert journal.stat().st_size > 0
    await eventually(lambda: journal.stat().st_size == 0, 20)
    erasing.cancel()
    await asyncio.gather(erasing, return_exceptions=True)
    await database.close()

"""When the snapshot is loaded, served from and given up; what its file says and shows."""

import base64
import json
import os
from pathlib import Path

import pytest
import structlog

from modelport_gateway.prepare.secrets import SecretsClient, SecretValue, SecretValues
from modelport_gateway.sync.snapshot import LOAD_AFTER_S, SnapshotKeeper
from modelport_gateway.sync.snapshot_file import Snapshot, SnapshotFile, SnapshotRefusedError, parse_key
from modelport_kit.service_get import ServiceGet
from modelport_kit.settings import SettingsError
from modelport_routing import Entry, Lease, NearCache, TableAwayError
from modelport_routing.entries import IndexEntry

KEY = bytes(range(32))
SECRET = "sk-canary-51e0"


def record(key: str, payload: bytes = b"{}", revision: int = 1) -> Entry:
    return Entry(key, present=True, revision=revision, seq=7, payload=payload, verified=True)


def snapshot(written_at: float = 1000.0) -> Snapshot:
    marker = json.dumps({"workspace": "default", "name": "key", "version": 3}).encode()
    return Snapshot(
        written_at,
        "run:epoch",
        [
            record("provider/default/openai", '{"name":"größe"}'.encode() + b"\xff"),
            record("secret/default/key", marker, 3),
        ],
        [IndexEntry("vendor/default/gpt-4", {"gpt-4": ""})],
        {"secret/default/key": SecretValue(SECRET, 3)},
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = SnapshotFile(tmp_path / "snapshot", KEY, "one")
    assert file.read(1000, 60) is None
    file.write(Snapshot(900.0, None))
    file.write(snapshot())
    found = file.read(1010, 60)
    assert found is not None
    assert (found.written_at, found.epoch) == (1000.0, "run:epoch")
    assert [(one.key, one.revision, one.seq, one.payload, one.verified) for one in found.records] == [
        (one.key, one.revision, one.seq, one.payload, False) for one in snapshot().records
    ]
    assert [(one.name, one.fields, one.verified) for one in found.indexes] == [
        ("vendor/default/gpt-4", {"gpt-4": ""}, False)
    ]
    assert found.secrets == snapshot().secrets
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot"]
    raw = (tmp_path / "snapshot").read_bytes()
    assert SECRET.encode() not in raw
    assert b"openai" not in raw
    assert SECRET not in repr(found)


def test_what_is_no_longer_true_is_not_put_in_place(tmp_path: Path) -> None:
    file = SnapshotFile(tmp_path / "snapshot", KEY, "one")
    assert file.write(snapshot(1000.0))
    assert not file.write(snapshot(1001.0), lambda: False)
    found = file.read(1010, 60)
    assert found is not None
    assert found.written_at == 1000.0
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot"]


@pytest.mark.parametrize("position", [0, 20, 60, 70, 100, -1])
def test_any_changed_byte_is_noticed(tmp_path: Path, position: int) -> None:
    file = SnapshotFile(tmp_path / "snapshot", KEY, "one")
    file.write(snapshot())
    raw = bytearray(file.path.read_bytes())
    raw[position] ^= 1
    file.path.write_bytes(raw)
    with pytest.raises(SnapshotRefusedError):
        file.read(1000, 60)


@pytest.mark.parametrize("length", [0, 10, 60, 70, 75])
def test_a_part_of_a_file_is_refused(tmp_path: Path, length: int) -> None:
    file = SnapshotFile(tmp_path / "snapshot", KEY, "one")
    file.write(snapshot())
    os.truncate(file.path, length)
    with pytest.raises(SnapshotRefusedError):
        file.read(1000, 60)


def test_age_is_limited_and_a_clock_may_be_set_back(tmp_path: Path) -> None:
    file = SnapshotFile(tmp_path / "snapshot", KEY, "one")
    file.write(snapshot(10_000.0))
    assert file.read(10_060, 60) is not None
    assert file.read(10_000 - 3600, 60) is not None
    with pytest.raises(SnapshotRefusedError, match="61 s old"):
        file.read(10_061, 60)
    with pytest.raises(SnapshotRefusedError, match="of the future"):
        file.read(10_000 - 3601, 60)


def test_a_link_is_not_followed_and_a_folder_no_file(tmp_path: Path) -> None:
    SnapshotFile(tmp_path / "real", KEY, "one").write(snapshot())
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "folder").mkdir()
    for name in ("link", "folder"):
        with pytest.raises(SnapshotRefusedError):
            SnapshotFile(tmp_path / name, KEY, "one").read(1000, 60)


def test_keys_are_32_bytes_and_never_shown() -> None:
    assert parse_key(f" {base64.b64encode(KEY).decode()}\n") == KEY
    for text in ("", "too-short", base64.b64encode(KEY[:16]).decode(), base64.b64encode(KEY).decode() + "!"):
        with pytest.raises(SettingsError) as caught:
            parse_key(text)
        assert not text or text not in str(caught.value)


class Away:
    """A keeper whose Redis never answers, on a clock of the test's own."""

    def __init__(self, file: SnapshotFile, secrets: ServiceGet) -> None:
        self.now = 0.0
        self.told: list[bool] = []
        self.table = NearCache("redis://127.0.0.1:1/0")
        client = SecretsClient(secrets)
        self.secrets = SecretValues(self.table, client, clock=lambda: self.now)
        self.keeper = SnapshotKeeper(
            file,
            self.table,
            self.secrets,
            Lease(),
            max_age_s=60,
            on_serving=self.told.append,
            clock=lambda: self.now,
            wall=lambda: 1000 + self.now,
        )

    async def turn(self, now: float) -> None:
        self.now = now
        await self.keeper.turn()


async def test_loaded_after_a_moment_and_given_up_when_too_old(tmp_path: Path) -> None:
    file = SnapshotFile(tmp_path / "snapshot", KEY, "one")
    file.write(snapshot(990.0))
    async with ServiceGet("http://127.0.0.1:1", "token") as secrets:
        away = Away(file, secrets)
        await away.turn(LOAD_AFTER_S - 0.1)
        assert away.told == []
        await away.turn(LOAD_AFTER_S)
        await away.turn(20.0)
        assert away.told == [True]
        assert away.keeper.age_s() == 30.0
        assert away.keeper.note() == "serves from a snapshot that is 30 s old"
        entry = await away.table.get("provider/default/openai")
        assert (entry.present, entry.verified) == (True, False)
        assert (await away.secrets.get("default", "key")).value == SECRET
        assert await away.table.index("vendor/default/gpt-4", "models") == {"gpt-4": ""}
        with structlog.testing.capture_logs() as logs:
            await away.turn(50.1)
        assert [entry["event"] for entry in logs] == [
            "the snapshot is too old by now, what it says is no longer served"
        ]
        assert away.told == [True, False]
        assert (away.secrets.held, away.keeper.note()) == (0, "")
        for asked in (away.table.get("provider/default/openai"), away.secrets.get("default", "key")):
            with pytest.raises(TableAwayError):
                await asked
        with pytest.raises(TableAwayError):
            await away.table.index("vendor/default/gpt-4", "models")


async def test_what_is_known_here_is_better_than_the_file(tmp_path: Path) -> None:
    table = NearCache("redis://127.0.0.1:1/0")
    table.adopt([record("provider/default/openai", b'{"newer":1}', 9)], [])
    table.adopt(snapshot().records, snapshot().indexes)
    assert (await table.get("provider/default/openai")).revision == 9
    assert (await table.get("secret/default/key")).revision == 3


async def test_a_file_is_read_once(tmp_path: Path) -> None:
    file = SnapshotFile(tmp_path / "snapshot", KEY, "one")
    async with ServiceGet("http://127.0.0.1:1", "token") as secrets:
        away = Away(file, secrets)
        await away.turn(LOAD_AFTER_S)
        file.write(snapshot())
        await away.turn(30)
        assert away.told == []
        assert away.keeper.age_s() is None


async def test_a_file_that_cannot_be_written_over_is_removed_where_it_is_over(tmp_path: Path) -> None:
    """What was deleted must not come back because the disk is full; what is only older may stay."""
    file = SnapshotFile(tmp_path / "snapshot", KEY, "one")
    for over in (False, True):
        file.write(snapshot())
        async with ServiceGet("http://127.0.0.1:1", "token") as secrets:
            away = Away(file, secrets)
            await away.keeper._give_up(OSError(28, "No space left on device"), over)
        assert file.path.exists() is not over
        assert away.keeper.failed == 1

import base64
import hashlib
import json
import stat
from pathlib import Path

import pytest

from modelport_cli.stack import datadir
from modelport_cli.stack.datadir import DataFolder, open_data_folder
from modelport_cli.stack.errors import StackError
from modelport_cli.stack.keys import Keys, ensure_keys


def opened(root: Path) -> tuple[DataFolder, Keys]:
    data = open_data_folder(root)
    try:
        return data, ensure_keys(data)
    finally:
        data.close()


def test_the_first_start_makes_private_keys_and_the_next_keeps_them(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "data"
    data, keys = opened(root)
    files = {path.name: path.read_text() for path in data.keys.iterdir()}
    assert len(base64.b64decode(files["kek"])) == 32
    assert {stat.S_IMODE(path.stat().st_mode) for path in data.keys.iterdir()} == {0o600}
    for folder in (root, data.keys, data.run, data.logs):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    opened(root)
    assert {path.name: path.read_text() for path in data.keys.iterdir()} == files
    assert not [password for password in keys.nats_passwords.values() if password in repr(keys)]


def test_a_folder_of_a_former_release_keeps_its_keys_and_gets_what_is_new(tmp_path: Path) -> None:
    data, _ = opened(tmp_path / "data")
    kept = {path.name: path.read_text() for path in data.keys.iterdir() if not path.name.startswith("nats-")}
    for path in data.keys.glob("nats-*.password"):
        path.unlink()
    (data.keys / "nats.password").write_text("5" * 64)
    _, keys = opened(tmp_path / "data")
    now = {path.name: path.read_text() for path in data.keys.iterdir()}
    assert kept.items() <= now.items()
    assert set(now) - set(kept) == {f"nats-{user}.password" for user in ("secrets", "models", "gateway")}
    assert len(set(keys.nats_passwords.values())) == 3


def test_services_trust_digests_and_only_the_gateway_may_reveal(tmp_path: Path) -> None:
    _, keys = opened(tmp_path / "data")
    entries = {entry["caller"]: entry for entry in json.loads(keys.trust.read_text())}
    assert {caller: entry["scopes"] for caller, entry in entries.items()} == {
        "gateway": ["reveal", "sync"],
        "front-door": ["api"],
        "models": ["api"],
        "secrets": ["api"],
    }
    token = keys.token("gateway").read_text().strip()
    assert entries["gateway"]["sha256"] == hashlib.sha256(token.encode()).hexdigest()
    assert token not in keys.trust.read_text()


def test_a_folder_in_use_is_refused_and_free_again_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datadir, "LOCK_WAIT_S", 0.1)
    first = open_data_folder(tmp_path / "data")
    with pytest.raises(StackError, match="in use by a Modelport that runs already"):
        open_data_folder(tmp_path / "data")
    first.close()
    open_data_folder(tmp_path / "data").close()


def test_a_file_instead_of_a_folder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("")
    for root in (file, file / "below"):
        with pytest.raises(StackError, match="is a file, or lies below one"):
            open_data_folder(root)


def test_a_folder_of_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StackError, match=r"holds other files \(thesis.tex\)"):
        open_data_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(("layout", "problem"), [("2", "newer Modelport"), ("\0\0", "damaged"), ("", "damaged")])
def test_a_layout_we_do_not_know_is_refused(tmp_path: Path, layout: str, problem: str) -> None:
    opened(tmp_path / "data")
    (tmp_path / "data" / "layout").write_text(layout)
    with pytest.raises(StackError, match=problem):
        open_data_folder(tmp_path / "data")


@pytest.mark.parametrize("name", ["kek", "gateway.token", "nats-gateway.password", "valkey.password"])
@pytest.mark.parametrize("content", [b"", b"short", b"\xff\x00"])
def test_a_damaged_key_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    data, _ = opened(tmp_path / "data")
    (data.keys / name).write_bytes(content)
    with pytest.raises(StackError, match=f"the key file .*{name} is damaged: restore it from a backup"):
        opened(tmp_path / "data")


def test_a_key_may_stand_beside_its_successor(tmp_path: Path) -> None:
    data, keys = opened(tmp_path / "data")
    both = f"{base64.b64encode(bytes(32)).decode()}\n{keys.kek.read_text()}"
    keys.kek.write_text(both)
    opened(tmp_path / "data")
    assert keys.kek.read_text() == both
    (data.keys / "kek").write_text(f"{both}short\n")
    with pytest.raises(StackError, match="kek is damaged"):
        opened(tmp_path / "data")


def test_the_key_of_existing_secrets_is_never_made_anew(tmp_path: Path) -> None:
    data, keys = opened(tmp_path / "data")
    data.folder("secrets").joinpath("secrets.db").write_bytes(b"sealed")
    keys.kek.unlink()
    with pytest.raises(StackError, match="cannot be read without it: restore it"):
        opened(tmp_path / "data")
    assert not keys.kek.exists()


def test_a_start_that_was_cut_short_is_completed(tmp_path: Path) -> None:
    data, keys = opened(tmp_path / "data")
    keys.token("models").unlink()
    (data.keys / ".models.token.new").write_text("half")
    opened(tmp_path / "data")
    assert len(keys.token("models").read_text()) == 65


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    data, _ = opened(tmp_path / "data")
    (data.keys / "trust.json").unlink()
    (data.keys / "trust.json").mkdir()
    (data.keys / "trust.json" / "x").write_text("")
    with pytest.raises(StackError, match=r"trust.json.* cannot be used"):
        opened(tmp_path / "data")


def test_long_logs_are_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datadir, "LOG_LIMIT_BYTES", 10)
    data, _ = opened(tmp_path / "data")
    (data.logs / "a.log").write_text("x" * 11)
    (data.logs / "b.log").write_text("x")
    opened(tmp_path / "data")
    assert sorted(path.name for path in data.logs.iterdir()) == ["a.log.1", "b.log"]

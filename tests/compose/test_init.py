"""deploy/init.py: fresh keys, private, never overwritten. Needs no engine."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelport_cli.stack import plan

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "init.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def init(folder: Path) -> "subprocess.CompletedProcess[str]":
    command: list[str | Path] = [sys.executable, SCRIPT, "--folder", folder, "--env-file", folder.parent / "env"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_makes_private_files_with_fresh_values(folder: Path, tmp_path: Path) -> None:
    done = init(folder)
    assert done.returncode == 0, done.stderr
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert len(base64.b64decode((folder / "kek").read_text())) == 32
    secrets = {name: text for name, text in contents(folder).items() if name.endswith((".password", ".token"))}
    assert len(set(secrets.values())) == len(secrets) == 13
    assert not any(text.strip() in done.stdout + done.stderr for text in contents(folder).values())

    other = tmp_path / "other" / "keys"
    init(other)
    assert not set(contents(other).values()) & set(contents(folder).values())


def test_trust_file_and_valkey_users_hold_digests_only(folder: Path) -> None:
    init(folder)
    trusted = {entry["caller"]: entry for entry in json.loads((folder / "trust.json").read_text())}
    assert {caller: entry["scopes"] for caller, entry in trusted.items()} == {
        "gateway": ["reveal", "sync"],
        "front-door": ["api"],
        "models": ["api"],
        "secrets": ["api"],
    }
    for caller, entry in trusted.items():
        token = (folder / f"{caller}.token").read_text().strip()
        assert entry["sha256"] == hashlib.sha256(token.encode()).hexdigest()
    password = (folder / "valkey-gateway.password").read_text().strip()
    users = (folder / "valkey.users").read_text()
    assert password not in users
    assert f"#{hashlib.sha256(password.encode()).hexdigest()}" in users


def test_rights_are_those_of_the_local_stack(folder: Path) -> None:
    init(folder)
    password = (folder / "valkey-gateway.password").read_text().strip()
    assert (folder / "valkey.users").read_text().strip() == plan.valkey_users(password)
    # NATS reads the one file itself; what it names must be what each container is told.
    passwords = dict(line.split("=") for line in (folder / "nats.env").read_text().splitlines())
    for user in ("secrets", "models", "gateway"):
        assert f"user: {user}, password: $NATS_{user.upper()}_PASSWORD\n" in plan.nats_config()
        login = f"nats://{user}:{passwords[f'NATS_{user.upper()}_PASSWORD']}@"
        assert f"MODELPORT_NATS_URL={login}" in (folder / f"{user}.env").read_text()
        assert ("MODELPORT_REDIS_URL" in (folder / f"{user}.env").read_text()) is (user == "gateway")


def test_again_changes_nothing(folder: Path) -> None:
    init(folder)
    before = contents(folder), (folder.parent / "env").read_text()
    done = init(folder)
    assert done.returncode == 0
    assert "nothing changed" in done.stdout
    assert (contents(folder), (folder.parent / "env").read_text()) == before


def test_keeps_what_stands_in_the_env_file(folder: Path) -> None:
    env_file = folder.parent / "env"
    env_file.write_text("NGC_API_KEY=nvapi-mine")
    init(folder)
    assert env_file.read_text().startswith("NGC_API_KEY=nvapi-mine\n")
    assert f"MODELPORT_UID={os.getuid() or 10001}\n" in env_file.read_text()


def test_files_that_containers_read_belong_to_their_user(folder: Path) -> None:
    init(folder)
    user = os.getuid() or 10001
    for name in ("kek", "trust.json", "valkey.users", "gateway.token", "front-door.token", "models.token"):
        assert (folder / name).stat().st_uid == user, name


def test_missing_file_is_added_and_what_follows_from_it_renewed(folder: Path) -> None:
    init(folder)
    before = contents(folder)
    (folder / "models.token").unlink()
    init(folder)
    after = contents(folder)
    assert {name for name in before if before[name] != after[name]} == {"models.token", "trust.json"}


def test_lost_kek_is_not_replaced(folder: Path) -> None:
    init(folder)
    (folder / "kek").unlink()
    done = init(folder)
    assert done.returncode == 1
    assert "kek" in done.stderr
    assert "restore it from a backup" in done.stderr
    assert not (folder / "kek").exists()


def test_empty_file_is_named(folder: Path) -> None:
    init(folder)
    (folder / "gateway.token").write_text("")
    done = init(folder)
    assert done.returncode == 1
    assert f"{folder / 'gateway.token'} is empty" in done.stderr

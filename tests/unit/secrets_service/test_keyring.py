"""Key-encryption keys: where they come from, which one wraps, what they open, and that they do not show."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport_kit.settings import SettingsError, load
from modelport_secrets.keyring import Keyring
from modelport_secrets.local_key import LocalKey, keys_from_environment, keys_from_file
from modelport_secrets.sealing import UnsealError, WrappedKey
from modelport_secrets.settings import SecretsSettings
from modelport_testing.services import new_kek, write_keks

KEYS = [os.urandom(32) for _ in range(3)]
OLD, NEW, OTHER = (LocalKey(key, "a test") for key in KEYS)


async def test_the_first_wraps_and_all_open() -> None:
    before = await Keyring([OLD]).new_data_key()
    ring = Keyring([NEW, OLD])
    after = await ring.new_data_key()
    assert (before.stored.kek_id, after.stored.kek_id) == (OLD.kek_id, NEW.kek_id)
    assert after.stored.kek_id == await ring.newest()
    for key in (before, after):
        assert await ring.unwrap(key.stored) == key.clear
    assert before.clear != after.clear


async def test_wrapped_anew_is_the_same_key() -> None:
    before = await Keyring([OLD]).new_data_key()
    renewed = await Keyring([NEW, OLD]).rewrap(before.stored)
    assert renewed.kek_id == NEW.kek_id
    assert await Keyring([NEW]).unwrap(renewed) == before.clear


async def test_a_missing_key_is_named() -> None:
    key = await Keyring([OLD]).new_data_key()
    ring = Keyring([NEW, OTHER])
    assert not ring.holds(OLD.kek_id)
    for ask in (ring.unwrap, ring.rewrap):
        with pytest.raises(UnsealError, match=f"{OLD.kek_id}.*{NEW.kek_id}.*{OTHER.kek_id}"):
            await ask(key.stored)
    with pytest.raises(UnsealError, match="altered"):
        await ring.unwrap(WrappedKey(NEW.kek_id, key.stored.wrapped))


@given(st.integers(min_value=0), st.integers(1, 255))
async def test_an_altered_byte_is_noticed(position: int, flip: int) -> None:
    key = await OLD.wrap(KEYS[2])
    stored = bytearray(key.wrapped)
    stored[position % len(stored)] ^= flip
    for wrapped in (bytes(stored), key.wrapped[: position % len(stored)]):
        with pytest.raises(UnsealError, match="altered"):
            await OLD.unwrap(WrappedKey(key.kek_id, wrapped))


async def test_key_material_does_not_show() -> None:
    ring = Keyring([NEW, OLD])
    key = await ring.new_data_key()
    shown = f"{key!r} {key} {ring!r} {ring.labels} {NEW!r} {vars(ring)}"
    assert NEW.kek_id in shown
    for material in (key.clear, *KEYS):
        assert repr(material)[2:-1] not in shown
        assert material.hex() not in shown


def test_a_file_of_keys(tmp_path: Path) -> None:
    file, keks = tmp_path / "kek", [new_kek(), new_kek()]
    write_keks(file, keks[0])
    [only] = keys_from_file(file)
    write_keks(file, *keks)
    both = [one.kek_id for one in keys_from_file(file)]
    assert both[0] == only.kek_id
    assert len(set(both)) == 2
    assert [one.kek_id for one in keys_from_environment(" ".join(keks))] == both
    with pytest.raises(SettingsError, match="cannot read"):
        keys_from_file(tmp_path / "missing")


@pytest.mark.parametrize(
    "content",
    ["", " \n", "short", "A" * 42 + "==", "A" * 44, f"{new_kek()}\nshort", "ä" * 44, "A" * 43 + "= #"],
    ids=["empty", "blank", "short", "31 bytes", "33 bytes", "second", "no base64", "more"],
)
def test_what_holds_no_key(tmp_path: Path, content: str) -> None:
    file = tmp_path / "kek"
    write_keks(file, content)
    with pytest.raises(SettingsError, match="MODELPORT_KEK_FILE") as caught:
        keys_from_file(file)
    said = str(caught.value).replace(str(tmp_path), "")
    if content.strip():
        with pytest.raises(SettingsError, match="MODELPORT_KEK does not hold 32 bytes") as caught:
            keys_from_environment(content)
        said += str(caught.value)
    assert not any(word in said for word in content.split())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o660, 0o777])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "kek"
    write_keks(file, new_kek())
    file.chmod(mode)
    with pytest.raises(SettingsError, match=f"others .*mode {mode:04o}.*chmod 600 {file}"):
        keys_from_file(file)
    for harmless in (0o600, 0o400):
        file.chmod(harmless)
        assert len(keys_from_file(file)) == 1


def given_settings(tmp_path: Path, **settings: Any) -> SecretsSettings:
    common = {"database_url": "sqlite:///x.db", "nats_url": "nats://127.0.0.1:1", "models_url": "http://127.0.0.1:1"}
    write_keks(tmp_path / "kek", new_kek())
    (tmp_path / "token").write_text("hvs.hunter2\n")
    made: SecretsSettings = load(SecretsSettings, **common, **settings)
    return made


def vault(tmp_path: Path) -> dict[str, Any]:
    return {
        "vault_addr": "http://127.0.0.1:8200/",
        "vault_token_file": tmp_path / "token",
        "vault_transit_key": "modelport",
    }


async def test_several_ways_at_once(tmp_path: Path) -> None:
    several = {"kek_file": tmp_path / "kek", "kek": f" {new_kek()} {new_kek()}\n", **vault(tmp_path)}
    for first, start in (("file", 0), ("environment", 1), ("vault", 3)):
        labels = given_settings(tmp_path, **several, kek_first=first).keyring().labels
        assert len(labels) == 4
        origins = ["MODELPORT_KEK_FILE", "MODELPORT_KEK)", "MODELPORT_KEK)", "vault:transit/modelport"]
        assert origins[start] in labels[0]
    for way in ({"kek_file": tmp_path / "kek"}, {"kek": new_kek()}, vault(tmp_path)):
        assert len(given_settings(tmp_path, **way).keyring().labels) == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "no key-encryption key is given: set MODELPORT_KEK_FILE"),
        ({"kek": " "}, "no key-encryption key is given"),
        ({"kek_file": "kek", "kek": new_kek()}, "MODELPORT_KEK_FIRST is not set, and MODELPORT_KEK_FILE and MODELPORT"),
        ({"kek_file": "kek", "kek_first": "vault"}, "MODELPORT_KEK_FIRST is vault, and MODELPORT_VAULT_ADDR is not"),
        ({"vault_addr": "https://v:8200", "vault_transit_key": "k"}, "MODELPORT_VAULT_TOKEN_FILE is not set"),
        ({"vault_addr": "https://v:8200", "vault_token_file": "token"}, "MODELPORT_VAULT_TRANSIT_KEY is not set"),
        ({"vault_addr": "http://vault:8200"}, "MODELPORT_VAULT_ADDR: .*travel in clear"),
        ({"vault_addr": "vault:8200"}, "MODELPORT_VAULT_ADDR: .*expected an address"),
        ({"vault_addr": "https://u:hunter2@vault"}, "MODELPORT_VAULT_ADDR: .*expected an address"),
        ({"vault_transit_key": "../sys/seal"}, "MODELPORT_VAULT_TRANSIT_KEY: .*expected at most 100 letters"),
        ({"vault_transit_mount": "a b"}, "MODELPORT_VAULT_TRANSIT_MOUNT: .*expected at most 100 letters"),
        (
            {"vault_addr": "https://v", "vault_token_file": "nothing", "vault_transit_key": "k"},
            "MODELPORT_VAULT_TOKEN_FILE: cannot read",
        ),
        (
            {"vault_addr": "https://v", "vault_token_file": "token", "vault_transit_key": "k", "vault_ca_file": "kek"},
            "MODELPORT_VAULT_CA_FILE: cannot use",
        ),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    files = {name: tmp_path / value for name, value in settings.items() if name.endswith("_file")}
    with pytest.raises(SettingsError, match=words) as caught:
        given_settings(tmp_path, **settings | files).keyring()
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)

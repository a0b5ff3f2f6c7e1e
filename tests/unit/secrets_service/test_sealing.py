"""Sealing: what was altered, moved or sealed under another key cannot be opened."""

import base64
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport_kit.settings import SettingsError
from modelport_secrets.domain import check_writable, gone_workspaces, marker, marker_change, marker_key
from modelport_secrets.sealing import Sealed, Sealer, UnsealError
from modelport_secrets.store import Revealed

KEK = bytes(range(32))
PLACE = ("team", "openai-key", 7)


def seal(value: str = "hunter2", sealer: Sealer | None = None) -> Sealed:
    sealer = sealer or Sealer(KEK)
    return sealer.seal(sealer.new_data_key(), value, *PLACE)


def altered(sealed: Sealed, member: str, content: bytes) -> Sealed:
    if member == "ciphertext":
        return replace(sealed, ciphertext=content)
    return replace(sealed, wrapped_key=content)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
def test_what_was_sealed_is_opened(value: str) -> None:
    sealed = seal(value)
    assert Sealer(KEK).unseal(sealed, *PLACE) == value
    assert value == "" or len(value) < 4 or value.encode() not in sealed.ciphertext + sealed.wrapped_key


def test_nothing_is_sealed_alike_twice() -> None:
    one, other = seal(), seal()
    assert one.ciphertext != other.ciphertext
    assert one.wrapped_key != other.wrapped_key


@given(st.integers(min_value=0), st.integers(1, 255), st.sampled_from(["ciphertext", "wrapped_key"]))
def test_an_altered_byte_is_noticed(position: int, flip: int, member: str) -> None:
    sealed = seal()
    stored = bytearray(getattr(sealed, member))
    stored[position % len(stored)] ^= flip
    with pytest.raises(UnsealError, match="altered"):
        Sealer(KEK).unseal(altered(sealed, member, bytes(stored)), *PLACE)


@pytest.mark.parametrize("length", [0, 1, 11, 12, 13, 27])
def test_a_cut_value_is_noticed(length: int) -> None:
    sealed = seal()
    for member in ("ciphertext", "wrapped_key"):
        with pytest.raises(UnsealError):
            Sealer(KEK).unseal(altered(sealed, member, getattr(sealed, member)[:length]), *PLACE)


@pytest.mark.parametrize("place", [("other", "openai-key", 7), ("team", "other-key", 7), ("team", "openai-key", 8)])
def test_a_row_copied_over_another_cannot_be_opened(place: tuple[str, str, int]) -> None:
    with pytest.raises(UnsealError, match="altered"):
        Sealer(KEK).unseal(seal(), *place)


def test_parts_of_two_values_do_not_fit_together() -> None:
    one, other = seal(), seal()
    with pytest.raises(UnsealError, match="altered"):
        Sealer(KEK).unseal(replace(one, wrapped_key=other.wrapped_key), *PLACE)


def test_another_key_encryption_key_is_named() -> None:
    other = Sealer(os.urandom(32))
    with pytest.raises(UnsealError, match=f"{Sealer(KEK).kek_id}.*{other.kek_id}"):
        other.unseal(seal(), *PLACE)
    with pytest.raises(UnsealError, match="altered"):
        other.unseal(replace(seal(), kek_id=other.kek_id), *PLACE)


def test_key_material_does_not_show() -> None:
    sealer = Sealer(KEK)
    key = sealer.new_data_key()
    shown = f"{key!r} {key} {sealer!r} {Revealed('hunter2', 3, 'w1')!r}"
    for material in (key.clear, key.wrapped, KEK):
        assert repr(material)[2:-1] not in shown
        assert material.hex() not in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    "content", ["", "short", base64.b64encode(b"x" * 31).decode(), base64.b64encode(b"x" * 33).decode(), "ä" * 44]
)
def test_a_key_file_that_holds_no_key(tmp_path: Path, content: str) -> None:
    file = tmp_path / "kek"
    file.write_text(content)
    with pytest.raises(SettingsError, match="MODELPORT_KEK_FILE") as caught:
        Sealer.from_file(file)
    assert not content or content not in str(caught.value)


def test_a_key_file(tmp_path: Path) -> None:
    file = tmp_path / "kek"
    file.write_text(base64.b64encode(KEK).decode() + "\n")
    assert Sealer.from_file(file).unseal(seal(), *PLACE) == "hunter2"
    with pytest.raises(SettingsError, match="cannot read"):
        Sealer.from_file(tmp_path / "missing")


def test_a_marker_tells_the_version_and_nothing_else() -> None:
    assert marker_key("team", "a.b") == "secret/team/a.b"
    assert marker("team", "a.b", 7) == b'{"workspace":"team","name":"a.b","version":7}'
    change = marker_change("one", "team", "a.b", 7)
    assert (change.envelope.revision, change.envelope.source, change.envelope.operation) == (7, "secrets", "put")


def test_only_the_built_in_secret_is_read_only() -> None:
    check_writable("default", "ngc-api-key")
    check_writable("system", "other")
    with pytest.raises(Exception, match="NGC_API_KEY"):
        check_writable("system", "ngc-api-key")


def test_a_workspace_made_again_keeps_its_new_secrets() -> None:
    known: dict[str, set[str | None]] = {
        "gone": {"w1"},
        "again": {"w2", "w3"},
        "living": {"w4"},
        "system": {None, "w5"},
        "built-in": {None},
    }
    living = {"again": "w3", "living": "w4", "system": "w5"}
    assert sorted(gone_workspaces(known, living)) == [("again", "w2"), ("gone", "w1")]

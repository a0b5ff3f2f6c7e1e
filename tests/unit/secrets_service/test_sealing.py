"""Sealing: what was altered, moved or sealed under another key cannot be opened."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport_secrets.domain import check_writable, gone_workspaces, marker, marker_change, marker_key
from modelport_secrets.sealing import UnsealError, new_clear_key, seal, unseal
from modelport_secrets.store import Revealed

KEY = bytes(range(32))
PLACE = ("team", "openai-key", 7)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
def test_what_was_sealed_is_opened(value: str) -> None:
    sealed = seal(KEY, value, *PLACE)
    assert unseal(KEY, sealed, *PLACE) == value
    assert len(value) < 4 or value.encode() not in sealed


def test_nothing_is_sealed_alike_twice() -> None:
    assert seal(KEY, "hunter2", *PLACE) != seal(KEY, "hunter2", *PLACE)
    assert len({new_clear_key() for _ in range(10)}) == 10
    assert len(new_clear_key()) == 32


@given(st.integers(min_value=0), st.integers(1, 255))
def test_an_altered_byte_is_noticed(position: int, flip: int) -> None:
    stored = bytearray(seal(KEY, "hunter2", *PLACE))
    stored[position % len(stored)] ^= flip
    with pytest.raises(UnsealError, match="altered"):
        unseal(KEY, bytes(stored), *PLACE)


@pytest.mark.parametrize("length", [0, 1, 11, 12, 13, 27])
def test_a_cut_value_is_noticed(length: int) -> None:
    with pytest.raises(UnsealError):
        unseal(KEY, seal(KEY, "hunter2", *PLACE)[:length], *PLACE)


@pytest.mark.parametrize("place", [("other", "openai-key", 7), ("team", "other-key", 7), ("team", "openai-key", 8)])
def test_a_row_copied_over_another_cannot_be_opened(place: tuple[str, str, int]) -> None:
    with pytest.raises(UnsealError, match="altered"):
        unseal(KEY, seal(KEY, "hunter2", *PLACE), *place)


def test_another_key_opens_nothing() -> None:
    with pytest.raises(UnsealError, match="altered"):
        unseal(os.urandom(32), seal(KEY, "hunter2", *PLACE), *PLACE)


def test_a_revealed_value_does_not_show() -> None:
    assert "hunter2" not in repr(Revealed("hunter2", 3, "w1"))


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

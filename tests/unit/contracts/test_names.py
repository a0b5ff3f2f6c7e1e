"""Names, and how a provider's model ids become names (docs/wire.md, 3.2)."""

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelport_contracts.names import (
    entity_name,
    entity_name_with_suffix,
    is_name,
    is_virtual_model_name,
    new_id,
    split_entity,
    subject_token,
)

LEGAL = ["ab", "a1", "gpt-4", "gpt-3.5-turbo", "a@b", "a+b_c.d", "a" * 63, "a."]
ILLEGAL = [
    "", "a", "1a", "-a", "A1", "aB", "a--b", "ab-", "a" * 64, "a b", "a/b", "ab\n", "\nab", "ä1", "a\0", "a*", "a:b",
]  # fmt: skip


@pytest.mark.parametrize("text", LEGAL)
def test_legal_names(text: str) -> None:
    assert is_name(text)
    assert is_virtual_model_name(text)


@pytest.mark.parametrize("text", ILLEGAL)
def test_illegal_names(text: str) -> None:
    assert not is_name(text)


@pytest.mark.parametrize("text", ["gpt-*", "a*", "gpt-4.*", "a" * 62 + "*"])
def test_a_virtual_models_name_may_end_in_one_star(text: str) -> None:
    assert is_virtual_model_name(text)


@pytest.mark.parametrize("text", ["*", "a**", "*a", "a*b", "a--*", "A*", "a" * 63 + "*", "a*\n"])
def test_but_not_hold_one_elsewhere(text: str) -> None:
    assert not is_virtual_model_name(text)


@pytest.mark.parametrize(
    ("model_id", "name"),
    [
        ("meta/llama-3.1-8b-instruct", "meta-llama-3-1-8b-instruct"),
        ("gpt-3.5-turbo", "gpt-3-5-turbo"),
        ("01-ai/yi-large", "m-01-ai-yi-large"),
        ("default/thing", "thing"),
        ("default/default/thing", "default-thing"),
        ("Other/Thing", "other-thing"),
        ("--GPT__4--", "gpt-4"),
        ("a b\tc", "a-b-c"),
        ("模型-x1", "x1"),
        ("7", "m-7"),
        ("模型", None),
        ("", None),
        ("x", None),
        ("///", None),
    ],
)
def test_entity_names(model_id: str, name: str | None) -> None:
    assert entity_name(model_id, "default") == name


def test_a_long_id_is_cut_and_gets_a_hash() -> None:
    model_id = "org/" + "x" * 49 + "-" + "y" * 40
    digest = hashlib.sha256(model_id.encode()).hexdigest()[:8]
    assert entity_name(model_id, "default") == "org-" + "x" * 49 + "-" + digest
    assert entity_name("z" * 63, "default") == "z" * 63
    assert entity_name("z" * 64, "default") == "z" * 54 + "-" + hashlib.sha256(b"z" * 64).hexdigest()[:8]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200), st.sampled_from(["default", "ab"]))
@example("ab/" * 30, "ab")
@example("0" * 63, "ab")
@example("-" * 70 + "a", "ab")
def test_what_results_is_a_legal_name(model_id: str, workspace: str) -> None:
    for name in (entity_name(model_id, workspace), entity_name_with_suffix(model_id, workspace)):
        assert name is None or is_name(name)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100))
def test_the_suffix_tells_ids_of_one_plain_name_apart(model_id: str) -> None:
    name = entity_name_with_suffix(model_id, "default")
    if name is not None:
        assert name.endswith(hashlib.sha256(model_id.encode()).hexdigest()[:8])


def test_references() -> None:
    assert split_entity("gpt-4", "default") == ("default", "gpt-4")
    assert split_entity("team/gpt-4", "default") == ("team", "gpt-4")


@given(st.text(min_size=1, max_size=63, alphabet="abcdefghijklmnopqrstuvwxyz0123456789-@.+_*"))
def test_any_name_is_one_subject_token(name: str) -> None:
    token = subject_token(name)
    assert token
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyz234567")


@given(st.text(max_size=20), st.text(max_size=20))
def test_different_names_have_different_tokens(one: str, other: str) -> None:
    assert (subject_token(one) == subject_token(other)) == (one == other)


def test_ids_are_made_of_letters_and_digits() -> None:
    made = {new_id("model-provider") for _ in range(1000)}
    assert len(made) == 1000
    assert all(one.startswith("model-provider-") and one.removeprefix("model-provider-").isalnum() for one in made)

"""From what a provider lists to entities and their records (docs/wire.md, 2 and 3.2)."""

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport_contracts.names import entity_name, entity_name_with_suffix, is_name
from modelport_contracts.records import MAX_RECORD_BYTES
from modelport_models.domain.records import (
    as_many_as_fit,
    model_record,
    provider_record,
    virtual_model_record,
    workspace_record,
)
from modelport_models.domain.served import (
    MAX_SERVED,
    assign_entities,
    infer_backend_format,
    left_out_note,
    names_to_ask_for,
)

IDS = st.lists(
    st.sampled_from(["gpt-4", "GPT-4", "gpt 4", "gpt.4", "a/gpt-4", "x", "", "模型", "llama", "7b"]), max_size=12
)


def test_plain() -> None:
    made = assign_entities(["gpt-4", "meta/llama-3.1"], None, "default", {})
    assert made.entities == {"gpt-4": "gpt-4", "meta/llama-3.1": "meta-llama-3-1"}
    assert made.notes == ()


def test_only_what_is_enabled() -> None:
    made = assign_entities(["gpt-4", "gpt-5"], ["gpt-4", "gpt-9"], "default", {})
    assert made.entities == {"gpt-4": "gpt-4"}
    assert made.notes == ("enabled but not listed by the provider: gpt-9",)
    assert assign_entities(["gpt-4"], [], "default", {}).entities == {}


def test_names_that_are_alike() -> None:
    made = assign_entities(["gpt.4", "GPT-4", "gpt-4"], None, "default", {})
    # in order of id: capitals sort first
    assert made.entities == {
        "GPT-4": "gpt-4",
        "gpt-4": entity_name_with_suffix("gpt-4", "default"),
        "gpt.4": entity_name_with_suffix("gpt.4", "default"),
    }
    assert made.notes == ("2 model names were alike and got a suffix",)


def test_an_existing_entity_keeps_its_name() -> None:
    first = assign_entities(["gpt.4"], None, "default", {}).entities
    made = assign_entities(["GPT-4", "gpt.4"], None, "default", first)
    assert made.entities["gpt.4"] == "gpt-4"
    assert made.entities["GPT-4"] == entity_name_with_suffix("GPT-4", "default")
    again = assign_entities(["GPT-4", "gpt.4"], None, "default", made.entities)
    assert again == made, "the note stays for as long as the suffix"
    long = assign_entities(["x" * 80], None, "default", {})
    assert long.notes == (), "a cut name has a hash of its own"
    assert assign_entities(["gpt.4"], None, "default", {"gpt.4": "chosen-by-hand"}).notes == ()


def test_names_that_other_providers_of_the_workspace_hold() -> None:
    suffixed = entity_name_with_suffix("gpt-4-1", "default")
    made = assign_entities(["gpt-4-1"], None, "default", {}, {"gpt-4-1": {"gpt-4.1"}})
    assert made.entities == {"gpt-4-1": suffixed}, "another id is another entity"
    assert made.notes == ("1 model names were alike and got a suffix",)
    assert assign_entities(["gpt-4.1"], None, "default", {}, {"gpt-4-1": {"gpt-4.1"}}).entities == {
        "gpt-4.1": "gpt-4-1"
    }, "the same id is the same entity"
    assert suffixed is not None
    made = assign_entities(["gpt-4-1"], None, "default", {}, {suffixed: {"gpt-4-1"}})
    assert made.entities == {"gpt-4-1": suffixed}, "also where it has the suffix"
    kept = assign_entities(["gpt-4-1"], None, "default", {"gpt-4-1": "gpt-4-1"}, {"gpt-4-1": {"gpt-4.1"}})
    assert kept.entities == {"gpt-4-1": "gpt-4-1"}, "what it had it keeps"


def test_which_names_to_ask_for() -> None:
    listed = ["gpt-4.1", "old", "off", "half\ud800", "模型"]
    names = names_to_ask_for(listed, ["gpt-4.1", "old", "half\ud800", "模型"], "default", {"old": "old"})
    assert names == ["gpt-4-1", entity_name_with_suffix("gpt-4.1", "default")]


def test_ids_without_a_name_are_skipped_and_counted() -> None:
    made = assign_entities(["模型", "x", "fine", "nul\0", "half\ud800", "bell\a", "y" * 513], None, "default", {})
    assert made.entities == {"fine": "fine"}
    assert made.notes == ("6 model ids give no valid name and are skipped",)


def test_a_huge_listing_is_cut_and_says_so() -> None:
    made = assign_entities((f"model-{number:06}" for number in range(MAX_SERVED + 3)), None, "default", {})
    assert len(made.entities) == MAX_SERVED
    assert "model-000000" in made.entities
    assert made.notes == (f"the provider lists more than {MAX_SERVED} models; 3 are left out",)


@given(IDS, st.none() | IDS, st.randoms(use_true_random=False))
def test_names_do_not_depend_on_the_order_of_the_listing(
    listed: list[str], enabled: list[str] | None, random: Any
) -> None:
    made = assign_entities(listed, enabled, "default", {})
    random.shuffle(listed)
    again = assign_entities(listed, enabled, "default", {})
    assert again == made
    assert len(set(made.entities.values())) == len(made.entities)
    assert all(is_name(name) for name in made.entities.values())


@given(IDS, IDS)
def test_what_is_served_on_keeps_its_name(before: list[str], after: list[str]) -> None:
    first = assign_entities(before, None, "default", {}).entities
    second = assign_entities(after, None, "default", first).entities
    assert {one: name for one, name in second.items() if one in first} == {
        one: name for one, name in first.items() if one in after
    }
    assert len(set(second.values())) == len(second)


@given(IDS)
def test_every_id_with_a_name_gets_an_entity(listed: list[str]) -> None:
    made = assign_entities(listed, None, "default", {}).entities
    assert set(made) == {one for one in listed if entity_name(one, "default") is not None}


@pytest.mark.parametrize(
    ("served_id", "dialect"),
    [("claude-sonnet-4", "ANTHROPIC_MESSAGES"), ("anthropic/Claude-3", "ANTHROPIC_MESSAGES"), ("gpt-4", None)],
)
def test_dialects(served_id: str, dialect: str | None) -> None:
    assert infer_backend_format(served_id) == dialect


NOW = datetime(2026, 1, 1, 10)


def test_a_models_record_names_who_serves_it() -> None:
    row = {"workspace": "team", "name": "gpt-4", "backend_format": None}
    payload, index = model_record(row, [("openai", "gpt-4"), ("azure", "GPT-4"), ("openai-2", "gpt-4")])
    assert [(item["provider"], item["served_id"]) for item in json.loads(payload)["served_by"]] == [
        ("team/azure", "GPT-4"),
        ("team/openai", "gpt-4"),
        ("team/openai-2", "gpt-4"),
    ]
    assert {(entry.index, entry.field) for entry in index} == {
        ("vendor/team/GPT-4", "gpt-4"),
        ("vendor/team/gpt-4", "gpt-4"),
    }


def test_no_models_record_outgrows_the_table() -> None:
    row = {"workspace": "team", "name": "n" * 63, "backend_format": "ANTHROPIC_MESSAGES"}
    serving = [(f"provider-{number:04}", '"😀' * 200) for number in range(1000)]
    payload, index = model_record(row, serving)
    assert MAX_RECORD_BYTES // 2 < len(payload) <= MAX_RECORD_BYTES
    assert json.loads(payload)["served_by"][0]["provider"] == "team/provider-0000"
    assert len(index) == 1


SERVING = st.lists(
    st.tuples(st.integers(0, 999), st.sampled_from(['"😀', "x", "模型"]), st.integers(1, 256)), max_size=300
)


@given(SERVING)
def test_what_fits_is_what_the_record_names(many: list[tuple[int, str, int]]) -> None:
    serving = {(f"provider-{number:03}-{'p' * 50}", text * length) for number, text, length in many}
    row = {"workspace": "w" * 63, "name": "n" * 63, "backend_format": "ANTHROPIC_MESSAGES"}
    payload, _ = model_record(row, serving)
    fitting = as_many_as_fit("w" * 63, serving)
    assert len(payload) <= MAX_RECORD_BYTES
    assert [(f"{'w' * 63}/{one}", served_id) for one, served_id in fitting] == [
        (item["provider"], item["served_id"]) for item in json.loads(payload)["served_by"]
    ]
    assert fitting == sorted(serving)[: len(fitting)]
    assert len(fitting) == len(serving) or len(payload) > MAX_RECORD_BYTES // 2


def test_a_provider_that_is_left_out_is_told_for_what() -> None:
    assert left_out_note([]) == ""
    assert left_out_note(["bb", "aa", "aa"]).startswith("so many providers serve aa, bb that ")
    assert "e00, e01, e02, e03, e04 and 3 more that" in left_out_note([f"e{number:02}" for number in range(8)])


def virtual_model(**members: Any) -> dict[str, Any]:
    row = {"workspace": "team", "name": "fast", "created_at": NOW, "autoprovisioned": False, "options": None}
    return {**row, "default_model_entity": None, "models": None, **members}


def test_a_virtual_models_targets_are_fully_named() -> None:
    targets = [{"model": "gpt-4", "weight": 3}, {"model": "other/gpt-4"}]
    payload, index = virtual_model_record(virtual_model(models=targets, default_model_entity="gpt-4"))
    record = json.loads(payload)
    assert [(target["model"], target["weight"]) for target in record["models"]] == [
        ("team/gpt-4", 3),
        ("other/gpt-4", 1),
    ]
    assert record["default_model_entity"] == "team/gpt-4"
    assert [(entry.index, entry.field, entry.value) for entry in index] == [("listing/team", "fast", "1767261600")]


def test_a_wildcard_is_indexed_by_its_stem_and_not_listed() -> None:
    _, index = virtual_model_record(virtual_model(name="gpt-*"))
    assert [(entry.index, entry.field) for entry in index] == [("wildcard/team", "gpt-")]


def test_a_providers_record_leaves_out_what_grows() -> None:
    row: dict[str, Any] = {"id": "p1", "workspace": "team", "name": "openai", "host_url": "https://h"}
    row |= {"status": "READY"}
    row |= {"served_models": [1] * 1000, "description": "long", "enabled_models": ["a"]}
    optional = ("api_key_secret_name", "auth_header_format", "default_extra_headers", "required_extra_headers",
                "default_extra_body", "required_extra_body", "options")  # fmt: skip
    payload, index = provider_record(row | dict.fromkeys(optional))
    assert set(json.loads(payload)) == {"id", "workspace", "name", "host_url", "status", *optional}
    assert index == ()
    assert workspace_record({"id": "w1", "name": "team"}) == (b'{"id":"w1","name":"team"}', ())

"""Filters in their three spellings (docs/wire.md, 3.1)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport_kit.filters import (
    MAX_DEPTH,
    MAX_TERMS,
    AllOf,
    AnyOf,
    Comparison,
    Filter,
    FilterError,
    Negation,
    parse_json,
    parse_query,
    parse_text,
)

READY = Comparison("status", "$eq", "READY")
LIKE = Comparison("name", "$like", "abc")


@pytest.mark.parametrize(
    ("brackets", "as_json", "text", "tree"),
    [
        ("filter[status]=READY", {"status": "READY"}, 'status:"READY"', READY),
        ("filter[status][$eq]=READY", {"status": {"$eq": "READY"}}, "status=READY", READY),
        ("filter[name][$like]=abc", {"name": {"$like": "abc"}}, 'name~"abc"', LIKE),
        ("filter[a][$lt]=1", {"a": {"$lt": "1"}}, "a<1", Comparison("a", "$lt", "1")),
        ("filter[a][$lte]=1", {"a": {"$lte": "1"}}, "a <= 1", Comparison("a", "$lte", "1")),
        ("filter[a][$gt]=1", {"a": {"$gt": "1"}}, 'a>"1"', Comparison("a", "$gt", "1")),
        ("filter[a][$gte]=1", {"a": {"$gte": "1"}}, "a>=1", Comparison("a", "$gte", "1")),
        ("filter[a.b]=1", {"a.b": "1"}, "a.b:1", Comparison("a.b", "$eq", "1")),
        (
            "filter[name][$like]=abc&filter[status]=READY",
            {"name": {"$like": "abc"}, "status": "READY"},
            'name~"abc" AND status:"READY"',
            AllOf((LIKE, READY)),
        ),
    ],
)
def test_the_three_spellings_agree(brackets: str, as_json: dict[str, Any], text: str, tree: Filter) -> None:
    pairs = [(name, value) for name, _, value in (part.partition("=") for part in brackets.split("&"))]
    assert parse_query(pairs) == tree
    assert parse_query([("filter", json.dumps(as_json))]) == tree
    assert parse_query([("filter", text)]) == tree


def test_lists() -> None:
    expected = Comparison("status", "$in", ["READY", "ERROR"])
    assert parse_query([("filter[status][$in]", "READY, ERROR")]) == expected
    assert parse_json('{"status":{"$in":["READY","ERROR"]}}') == expected
    assert parse_json('{"status":{"$nin":[1,null]}}') == Comparison("status", "$nin", [1, None])


def test_several_conditions_on_one_field() -> None:
    assert parse_json('{"a":{"$gt":1,"$lt":5}}') == AllOf((Comparison("a", "$gt", 1), Comparison("a", "$lt", 5)))


def test_logic() -> None:
    a, b, c = (Comparison(name, "$eq", "1") for name in "abc")
    assert parse_text("a:1 OR b:1 AND c:1") == AnyOf((a, AllOf((b, c))))
    assert parse_text("(a:1 OR b:1) AND NOT c:1") == AllOf((AnyOf((a, b)), Negation(c)))
    assert parse_text("a!=1") == Negation(a)
    assert parse_json('{"$or":[{"a":"1"},{"b":"1"}],"$not":{"c":"1"}}') == AllOf((AnyOf((a, b)), Negation(c)))
    assert parse_json('{"$and":[{"a":"1"},{"b":"1"}]}') == AllOf((a, b))
    assert parse_json('{"a":{"$not":{"$eq":"1"}}}') == Negation(AllOf((a,)))


def test_values_of_the_text_spelling() -> None:
    assert parse_text(r'name:"a \"quoted\" (b) AND c\\"') == Comparison("name", "$eq", 'a "quoted" (b) AND c\\')
    assert parse_text("NOTE:x") == Comparison("NOTE", "$eq", "x")
    assert parse_text('name:""') == Comparison("name", "$eq", "")
    assert parse_text("created_at>2026-01-01T10:00:00Z") == Comparison("created_at", "$gt", "2026-01-01T10:00:00Z")


@pytest.mark.parametrize("pairs", [[], [("page", "1")], [("filter", "")], [("filter", "  ")], [("filters", "x")]])
def test_no_filter(pairs: list[tuple[str, str]]) -> None:
    assert parse_query(pairs) is None


@pytest.mark.parametrize(
    "name",
    [
        "filter[",
        "filter[a",
        "filter[]",
        "filter[a]b",
        "filter[a][$foo]",
        "filter[$and]",
        "filter[$eq]",
        "filter[a][$or][b]",
    ],
)
def test_brackets_that_cannot_be_read(name: str) -> None:
    with pytest.raises(FilterError):
        parse_query([(name, "x")])


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{]",
        '{"a":}',
        '{"$foo":1}',
        '{"$and":{}}',
        '{"$and":[]}',
        '{"$or":[1]}',
        '{"$not":[]}',
        '{"a":{"$foo":1}}',
        '{"a":{"b":1}}',
        '{"a":[1]}',
        '{"a":{"$eq":{}}}',
        '{"a":{"$in":"x"}}',
        '{"a":{"$in":[[1]]}}',
        '{"a":NaN}',
        '{"a":"\\ud800"}',
        '{"a":"\\u0000"}',
        '{"\\udfff":1}',
    ],
)
def test_json_that_cannot_be_read(text: str) -> None:
    with pytest.raises(FilterError):
        parse_query([("filter", text)])


@pytest.mark.parametrize(
    "text",
    [
        "name",
        "name:",
        ":x",
        "AND",
        "a:1 AND",
        "a:1 b:2",
        "a:1 OR OR b:2",
        "(a:1",
        "a:1)",
        "()",
        "NOT",
        'a:"x',
        "a:1 and b:2",
        "[1]",
    ],
)
def test_text_that_cannot_be_read(text: str) -> None:
    with pytest.raises(FilterError):
        parse_query([("filter", text)])


@pytest.mark.parametrize(
    "text",
    [
        '{"$not":' * (MAX_DEPTH + 2) + '{"a":1}' + "}" * (MAX_DEPTH + 2),
        '{"a":' + '{"$not":' * 30 + '"x"' + "}" * 31,
        '{"a":' + '{"$not":' * 900 + '"x"' + "}" * 901,
        '{"$and":[' * 500 + '{"a":1}' + "]}" * 500,
        "(" * (MAX_DEPTH + 2) + "a:1" + ")" * (MAX_DEPTH + 2),
        "NOT " * (MAX_DEPTH + 2) + "a:1",
        "(" * 3000 + "a:1",
    ],
)
def test_depth_has_a_limit(text: str) -> None:
    with pytest.raises(FilterError):
        parse_query([("filter", text)])


def test_depth_within_the_limit() -> None:
    assert parse_query([("filter", "NOT " * MAX_DEPTH + "a:1")]) is not None


@pytest.mark.parametrize(
    "pairs",
    [
        [("filter[a]", "1")] * (MAX_TERMS + 1),
        [("filter[a][$in]", ",".join("x" * (MAX_TERMS + 1)))],
        [("filter", json.dumps({"a": {"$in": [1] * (MAX_TERMS + 1)}}))],
        [("filter", json.dumps({"$or": [{"a": 1}] * (MAX_TERMS + 1)}))],
        [("filter", " OR ".join(["a:1"] * (MAX_TERMS + 1)))],
        [("filter", " OR ".join(["a:1"] * 5000))],
        [("filter[a]", "1"), ("filter", json.dumps({"a": {"$nin": [1] * MAX_TERMS}}))],
    ],
)
def test_size_has_a_limit(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(FilterError):
        parse_query(pairs)
    assert parse_query([("filter[a][$in]", ",".join("x" * MAX_TERMS))]) is not None


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for name in ("filter", f"filter[{text}]"):
        try:
            parse_query([(name, text)])
        except FilterError as error:
            assert str(error)  # noqa: PT017 (both outcomes are fine, a message is due with one)

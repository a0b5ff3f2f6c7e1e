"""What the audit trail shows, and what it never does (docs/audit.md)."""

from datetime import datetime

import pytest

from modelport_kit.audit import LONGEST, Event, audit_row, difference, in_full, names_only, picture
from modelport_kit.database.tables import AUDIT
from modelport_kit.origin import Origin

SHOWN = {"url": in_full, "headers": names_only}
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize(
    ("value", "shown"), [({"b": "k", "a": {"c": 1}}, ["a", "b"]), (["k", "k"], "2 items"), ("k", "set"), (7, "set")]
)
def test_of_what_may_hold_a_key_only_names_are_shown(value: object, shown: object) -> None:
    assert names_only(value) == shown


def test_a_picture_has_what_is_shown_and_set() -> None:
    row = {"url": "http://a", "headers": {"x-key": "hunter2"}, "ciphertext": b"hunter2"}
    assert picture(row, SHOWN) == {"url": "http://a", "headers": ["x-key"]}
    assert picture({"url": None, "headers": {}}, SHOWN) == {"headers": []}


def test_a_difference_tells_of_values_that_it_does_not_show() -> None:
    before = {"url": "http://a", "headers": {"x-key": "hunter2"}, "other": 1}
    after = {"url": "http://a", "headers": {"x-key": "hunter3"}, "other": 2}
    assert difference(before, after, SHOWN) == ({"headers": ["x-key"]}, {"headers": ["x-key"]})
    assert difference(before, {"url": "http://b"}, SHOWN) == (
        {"url": "http://a", "headers": ["x-key"]},
        {"url": "http://b", "headers": None},
    )
    assert difference(before, before, SHOWN) == ({}, {})


def test_a_row_says_who_and_where_from() -> None:
    event = Event("delete", "provider", "team", "openai", before={"url": "http://a"})
    assert audit_row(event, "models", Origin("front-door", "192.0.2.1", "r-1"), MOMENT) == {
        "created_at": MOMENT,
        "service": "models",
        "actor": "front-door",
        "address": "192.0.2.1",
        "request_id": "r-1",
        "action": "delete",
        "kind": "provider",
        "workspace": "team",
        "name": "openai",
        "outcome": "ok",
        "before": {"url": "http://a"},
        "after": None,
    }


def test_what_somebody_only_tried_fits_its_column() -> None:
    tried = Event("reveal", "secret", "w" * 1000, "n" * 1000, outcome="not_found")
    row = audit_row(tried, "secrets", Origin(None, "a" * 1000, "r" * 1000), MOMENT)
    assert (len(row["workspace"]), len(row["name"]), len(row["address"])) == (63, 64, 64)
    assert row["actor"] is None
    for column, length in LONGEST.items():
        assert AUDIT.c[column].type.length == length  # type: ignore[attr-defined]

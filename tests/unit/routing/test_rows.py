"""Reading rows, and what may be concluded from a reading."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport_contracts.records import IndexEntry
from modelport_routing.rows import Row, Verdict, epoch_is_current, index_line, judge, parse_row

RUN_ID = "abc"
EPOCH = "abc:1"


def row(epoch: str = EPOCH, *, present: bool = True) -> Row:
    return Row(epoch, "models", 5, 9, present, b"payload")


def test_a_row_is_parsed() -> None:
    assert parse_row(b"abc:1 models 5 9 put\n[]\npayload") == row()
    assert parse_row(b"abc:1 models 5 9 delete\n[]\n") == Row(EPOCH, "models", 5, 9, False, b"")


def test_what_a_newer_writer_appends_is_ignored() -> None:
    assert parse_row(b"abc:1 models 5 9 put new=1 more\n[1,2]\npayload") == row()


def test_the_payload_may_hold_anything() -> None:
    parsed = parse_row(b"e models 5 9 put\n[]\nline\n\nline \xff\x00")
    assert parsed is not None
    assert parsed.payload == b"line\n\nline \xff\x00"


@pytest.mark.parametrize("raw", [b"", b"e models 5 9 put", b"e models 5 9 put\n[]", b"e models x 9 put\n[]\n", b"\n\n"])
def test_an_unreadable_row_is_none(raw: bytes) -> None:
    assert parse_row(raw) is None


@given(st.binary())
def test_parsing_never_raises(raw: bytes) -> None:
    parse_row(raw)
    parse_row(raw + b"\n[]\n" + raw)


@given(st.text(), st.text())
def test_index_entries_stay_on_one_line(field: str, value: str) -> None:
    line = index_line([IndexEntry(index="listing/a", field=field, value=value)])
    assert "\n" not in line
    assert json.loads(line) == [["rt:i:listing/a", field, value]]


def test_an_epoch_belongs_to_the_server_that_began_it() -> None:
    assert epoch_is_current(EPOCH, RUN_ID)
    assert not epoch_is_current(None, RUN_ID)
    assert not epoch_is_current("abcd:1", RUN_ID)
    assert not epoch_is_current("", RUN_ID)


@pytest.mark.parametrize(
    ("epoch", "mark", "found", "verdict"),
    [
        (EPOCH, EPOCH, row(), Verdict.PRESENT),
        (EPOCH, None, row(), Verdict.PRESENT),
        (EPOCH, EPOCH, None, Verdict.ABSENT),
        (EPOCH, EPOCH, row(present=False), Verdict.ABSENT),
        (EPOCH, EPOCH, row("abc:0"), Verdict.ABSENT),
        (EPOCH, None, None, Verdict.UNPROVEN),
        (EPOCH, "abc:0", None, Verdict.UNPROVEN),
        (EPOCH, None, row(present=False), Verdict.OVER),
        (EPOCH, None, row("abc:0"), Verdict.UNPROVEN),
        (None, None, None, Verdict.UNPROVEN),
        (None, EPOCH, row(), Verdict.UNPROVEN),
        ("old:1", "old:1", None, Verdict.UNPROVEN),
        ("old:1", "old:1", row("old:1"), Verdict.UNPROVEN),
        ("old:1", "old:1", row("old:1", present=False), Verdict.UNPROVEN),
    ],
)
def test_absence_is_believed_only_under_the_current_mark(
    epoch: str | None, mark: str | None, found: Row | None, verdict: Verdict
) -> None:
    assert judge(epoch, mark, found, RUN_ID) is verdict

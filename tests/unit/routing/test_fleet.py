"""Who is live, and when a change is applied (docs/propagation.md, rules 18 to 20)."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport_routing.fleet import (
    GENERATION,
    KEPT_S,
    LIVE_S,
    SETTLE_S,
    SETTLED,
    Fleet,
    GatewayRecord,
    Observer,
    Progress,
    Reading,
    find_standing,
    lacking,
)
from modelport_routing.rows import Row

KEY = "provider/default/openai"
EPOCH = "run:1"
SETTLED_ROSTER = {GENERATION.encode(): b"g", SETTLED.encode(): b"g"}


def record(name: str, head: int = 10, *, beat: int = 1, epoch: str | None = EPOCH) -> GatewayRecord:
    return GatewayRecord(name, name, beat, epoch, head)


def roster(*records: GatewayRecord, settled: bool = True) -> dict[bytes, bytes]:
    own = SETTLED_ROSTER if settled else {GENERATION.encode(): b"g"}
    return own | {one.boot_id.encode(): one.encode().encode() for one in records}


def reading(row: Row | None = None, **changes: Any) -> Reading:
    values: dict[str, Any] = {
        "run_id": "run",
        "epoch": EPOCH,
        "head": 10,
        "marks": {"models": EPOCH, "secrets": EPOCH},
        "floors": {"models": f"{EPOCH} 7", "secrets": f"{EPOCH} 0"},
        "rows": {KEY: row},
        "roster": {},
    }
    return Reading(**(values | changes))


def row(revision: int = 5, *, seq: int = 9, present: bool = True, epoch: str = EPOCH) -> Row:
    return Row(epoch, "models", revision, seq, present, b"payload")


def live(*records: GatewayRecord) -> Fleet:
    return Fleet(records, (), True, None, ())


def names(records: tuple[GatewayRecord, ...]) -> list[str]:
    return [one.boot_id for one in records]


# Records


def test_a_record_survives_the_way() -> None:
    for one in (record("a"), record("b", epoch=None)):
        assert GatewayRecord.parse(one.boot_id, one.encode().encode()) == one


@pytest.mark.parametrize("raw", [b"", b"\xff", b"[]", b"{}", b'{"id":"a","beat":1,"epoch":"e","head":"x"}'])
def test_a_record_that_cannot_be_read_has_applied_nothing(raw: bytes) -> None:
    fleet = Observer().look(SETTLED_ROSTER | {b"a": raw}, 0.0)
    assert names(fleet.live) == ["a"]
    assert lacking(fleet, "a", EPOCH, 0) == ("a",)


# Liveness


def test_live_while_its_beat_changes_and_for_three_seconds_more() -> None:
    observer = Observer()
    for second in range(5):
        assert names(observer.look(roster(record("a", beat=second)), second).live) == ["a"]
    assert names(observer.look(roster(record("a", beat=4)), 4 + LIVE_S).live) == ["a"]
    gone = observer.look(roster(record("a", beat=4)), 4.1 + LIVE_S)
    assert (names(gone.live), names(gone.gone)) == ([], ["a"])
    assert names(observer.look(roster(record("a", beat=5)), 20).live) == ["a"]


def test_seen_for_the_first_time_it_is_live_however_old_it_is() -> None:
    observer = Observer()
    observer.look(roster(), 0.0)
    assert names(observer.look(roster(record("a")), 1000.0).live) == ["a"]


def test_a_record_without_beats_is_swept_in_the_end() -> None:
    observer = Observer()
    one = record("a")
    observer.look(roster(one), 0.0)
    assert observer.look(roster(one), KEPT_S).swept == ()
    assert observer.look(roster(one), KEPT_S + 1).swept == ((b"a", one.encode().encode()),)


# Records that were lost


def test_lost_records_prove_nothing_until_all_are_back_or_out_of_lease() -> None:
    observer = Observer()
    fresh = roster(record("a"), settled=False)
    assert lacking(observer.look(fresh, 0.0), "a", EPOCH, 5) != ()
    assert observer.look(fresh, SETTLE_S - 0.1).settles is None
    fleet = observer.look(fresh, SETTLE_S)
    assert (fleet.is_settled, fleet.settles) == (True, "g")
    assert lacking(fleet, "a", EPOCH, 5) == ()


def test_another_loss_begins_the_wait_anew() -> None:
    observer = Observer()
    observer.look(roster(record("a"), settled=False), 0.0)
    again = {**roster(record("a"), settled=False), GENERATION.encode(): b"h"}
    assert not observer.look(again, SETTLE_S).is_settled
    # What somebody said of the generation before does not count for this one.
    assert not observer.look(again | {SETTLED.encode(): b"g"}, SETTLE_S + 1).is_settled
    assert not observer.look({b"a": b"{}"}, 100.0).is_settled


def test_who_comes_later_believes_who_has_watched() -> None:
    assert Observer().look(roster(record("a")), 0.0).is_settled


# Who lacks what


def test_all_live_gateways_count_and_one_s_own_must_be_there() -> None:
    assert lacking(live(record("a"), record("b")), "a", EPOCH, 10) == ()
    assert lacking(live(record("a"), record("b", 9)), "a", EPOCH, 10) == ("b",)
    assert lacking(live(record("a"), record("b", epoch="run:0")), "a", EPOCH, 10) == ("b",)
    assert lacking(live(record("b")), "a", EPOCH, 10) != ()
    assert lacking(live(), "a", EPOCH, 0) != ()


# How a record stands


def test_present_at_the_revision_or_a_later_one() -> None:
    found = find_standing(reading(row(5)), KEY, 5)
    assert found is not None
    assert (found.state, found.revision, found.seq, found.payload) == ("present", 5, 9, b"payload")
    assert find_standing(reading(row(5)), KEY, 6) is None


def test_absent_by_a_tombstone() -> None:
    found = find_standing(reading(row(8, present=False)), KEY, 8)
    assert found is not None
    assert (found.state, found.seq, found.payload) == ("absent", 9, None)


@pytest.mark.parametrize("before", [None, row(3, epoch="run:0")])
def test_absent_under_mark_and_floor_as_of_the_head(before: Row | None) -> None:
    found = find_standing(reading(before), KEY, 7)
    assert found is not None
    assert (found.state, found.revision, found.seq) == ("absent", 7, 10)


NOTHING: list[Mapping[str, Any]] = [
    {"epoch": None},
    {"epoch": "other:1"},
    {"marks": {"models": "run:0", "secrets": EPOCH}},
    {"marks": {"models": None, "secrets": EPOCH}},
    {"floors": {"models": f"{EPOCH} 6", "secrets": None}},
    {"floors": {"models": "run:0 9", "secrets": None}},
    {"floors": {"models": None, "secrets": None}},
]


@pytest.mark.parametrize("changes", NOTHING)
def test_absence_is_proven_or_not_said(changes: Mapping[str, Any]) -> None:
    assert find_standing(reading(None, **changes), KEY, 7) is None


# One question, many readings


def test_a_moving_head_does_not_keep_the_answer_away() -> None:
    progress = Progress(KEY, 7)
    assert not progress.look(reading(None, head=10), live(record("a", 9)), "a")
    assert progress.look(reading(None, head=30), live(record("a", 10)), "a")


def test_another_state_must_be_applied_itself() -> None:
    progress = Progress(KEY, 5)
    assert not progress.look(reading(row(5, seq=9)), live(record("a", 8)), "a")
    assert not progress.look(reading(row(6, seq=12, present=False)), live(record("a", 10)), "a")
    assert progress.look(reading(row(6, seq=12, present=False)), live(record("a", 12)), "a")


@given(st.integers(0, 20), st.lists(st.integers(0, 20), max_size=4), st.integers(0, 20))
def test_yes_means_that_every_live_gateway_is_there(seq: int, heads: list[int], own: int) -> None:
    others = [record(f"b{number}", head) for number, head in enumerate(heads)]
    said = Progress(KEY, 5).look(reading(row(5, seq=seq)), live(record("a", own), *others), "a")
    assert said == all(head >= seq for head in [own, *heads])

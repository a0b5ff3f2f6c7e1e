"""What a gateway does next for a source."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport_gateway.sync.decisions import (
    FIRST_RETRY_S,
    MAX_RETRY_S,
    Step,
    ends_the_attempt,
    next_step,
    retry_delay_s,
    spread_s,
)
from modelport_routing import Outcome, TableState


def state(
    stored_epoch: str | None = "run:1", *, mark: str | None = "run:1", incarnation: str | None = "one"
) -> TableState:
    return TableState(
        run_id="run",
        stored_epoch=stored_epoch,
        marks={"models": mark, "secrets": None},
        floors={"models": 5, "secrets": None},
        incarnations={"models": incarnation, "secrets": None},
        seen={"models": None, "secrets": None},
    )


def test_a_whole_table_is_kept() -> None:
    assert next_step(state(), "models", None) is Step.KEEP
    assert next_step(state(), "models", "one") is Step.KEEP


def test_each_source_is_judged_by_its_own_mark() -> None:
    assert next_step(state(), "secrets", None) is Step.REBUILD


@pytest.mark.parametrize("mark", [None, "run:0", "other:1"])
def test_without_the_current_mark_it_is_rebuilt(mark: str | None) -> None:
    assert next_step(state(mark=mark), "models", None) is Step.REBUILD


@pytest.mark.parametrize("epoch", [None, "other:1", "runner:1", ""])
def test_without_an_epoch_of_this_server_one_is_begun(epoch: str | None) -> None:
    assert next_step(state(epoch, mark=epoch), "models", None) is Step.BEGIN_EPOCH


def test_another_database_begins_the_table_anew_only_when_the_source_says_so() -> None:
    assert next_step(state(), "models", "two") is Step.BEGIN_EPOCH
    assert next_step(state(mark=None, incarnation=None), "models", "two") is Step.REBUILD


def test_only_a_lost_epoch_or_incarnation_ends_an_attempt() -> None:
    assert not ends_the_attempt([])
    assert not ends_the_attempt([Outcome.APPLIED, Outcome.OLD, Outcome.BELOW_FLOOR])
    for outcome in (Outcome.NO_EPOCH, Outcome.NOT_OPEN, Outcome.OTHER_INCARNATION):
        assert ends_the_attempt([Outcome.APPLIED, outcome])


@given(st.integers(min_value=1, max_value=10**6), st.floats(min_value=0, max_value=1))
def test_retries_grow_to_a_bound(failures: int, jitter: float) -> None:
    assert FIRST_RETRY_S / 2 <= retry_delay_s(failures, jitter) <= MAX_RETRY_S
    assert retry_delay_s(failures, jitter) <= retry_delay_s(failures + 1, jitter)


@given(st.floats(min_value=0, max_value=1))
def test_periods_are_spread_by_a_tenth(jitter: float) -> None:
    assert 89.999 < spread_s(100, jitter) < 110.001

"""What a probe's answer makes of a provider (docs/wire.md, 3.4; docs/propagation.md, rule 25)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport_contracts.resources.providers import ProviderStatus
from modelport_models.domain.verdict import (
    GATEWAY_CODES,
    MAX_BACKOFF_S,
    PENDING_S,
    Answer,
    Failing,
    Inconclusive,
    Listed,
    NoListing,
    ProbeState,
    Refused,
    Verdict,
    after_verdict,
    backoff_s,
    judge_error,
)

READY = ProbeState(ProviderStatus.READY, "", 0, None)
CREATED = ProbeState(ProviderStatus.CREATED, "", 0, None)


def after(state: ProbeState, verdict: Verdict, now: float = 1000.0, notes: tuple[str, ...] = ()) -> ProbeState:
    outcome = after_verdict(state, verdict, notes, now, 300)
    assert outcome.state is not None
    return outcome.state


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_names_the_secret_to_check(status: int) -> None:
    verdict = judge_error(Answer(status, from_gateway=False), "team/openai")
    assert isinstance(verdict, Refused)
    assert "team/openai" in verdict.reason
    assert str(status) in verdict.reason
    without = judge_error(Answer(status, from_gateway=False), None)
    assert isinstance(without, Refused)
    assert "None" not in without.reason


def test_a_provider_without_listing() -> None:
    assert judge_error(Answer(404, from_gateway=False), None) == NoListing()


@pytest.mark.parametrize("status", [400, 402, 405, 408, 418, 424, 429, 500, 502, 503, 504, 301, 204])
def test_other_answers_of_the_provider_are_failures(status: int) -> None:
    verdict = judge_error(Answer(status, from_gateway=False, code="behind"), None)
    assert isinstance(verdict, Failing)
    assert str(status) in verdict.reason


@pytest.mark.parametrize("code", sorted(GATEWAY_CODES))
@pytest.mark.parametrize("status", [424, 500, 502, 503])
def test_errors_that_speak_of_the_gateway_say_nothing(code: str, status: int) -> None:
    assert isinstance(judge_error(Answer(status, True, code, "a reason"), "team/openai"), Inconclusive)


def test_nor_does_a_gateway_that_does_not_know_the_provider_yet() -> None:
    assert isinstance(judge_error(Answer(404, True, "no_such_provider", "x"), None), Inconclusive)


@pytest.mark.parametrize("code", ["connect_failed", "tls_failed", "timeout", "loop"])
def test_gateway_errors_that_speak_of_the_provider_are_failures(code: str) -> None:
    assert judge_error(Answer(502, True, code, "the provider is not there"), None) == Failing(
        "the provider is not there"
    )


def test_what_the_egress_guard_refuses_is_an_error_at_once_in_its_own_words() -> None:
    told = "http://db:1 must not be called: 10.0.0.5 is a private address"
    verdict = judge_error(Answer(502, True, "egress_refused", told), None)
    assert verdict == Refused(told)
    state = after(CREATED, verdict)
    assert (state.status, state.status_message) == (ProviderStatus.ERROR, told)


def test_a_missing_secret_is_named() -> None:
    by_the_gateway = judge_error(Answer(424, True, "secret_missing", "secret team/openai is missing"), "team/openai")
    assert by_the_gateway == Refused("secret team/openai is missing")
    nameless = judge_error(Answer(424, True, "secret_missing"), "team/openai")
    assert isinstance(nameless, Refused)
    assert "team/openai" in nameless.reason
    of_the_ca = judge_error(Answer(424, True, "ca_unusable", "secret team/ca does not exist"), "system/ngc-api-key")
    assert of_the_ca == Refused("secret team/ca does not exist")
    built_in = judge_error(Answer(424, True, "secret_missing", "missing"), "system/ngc-api-key")
    assert isinstance(built_in, Refused)
    assert "NGC_API_KEY" in built_in.reason
    broken = judge_error(Answer(424, True, "secret_unusable", "it holds a line break"), "system/ngc-api-key")
    assert broken == Refused("it holds a line break")


@pytest.mark.parametrize("code", ["no_gateway", "gateway_lost"])
def test_a_load_balancer_without_a_gateway_says_nothing_of_the_provider(code: str) -> None:
    assert isinstance(judge_error(Answer(502, True, code, "try again"), None), Inconclusive)


@pytest.mark.parametrize("secret", ["team/openai", "system/ngc-api-key"])
@pytest.mark.parametrize("message", ["", "it cannot be opened"])
def test_a_secret_that_cannot_be_opened_is_named(secret: str, message: str) -> None:
    verdict = judge_error(Answer(424, True, "secret_unreadable", message), secret)
    assert isinstance(verdict, Refused)
    assert secret in verdict.reason
    assert "NGC_API_KEY" not in verdict.reason, "it is there, but cannot be opened"
    told = judge_error(Answer(424, True, "secret_unreadable", f"secret {secret}: another key"), secret)
    assert told == Refused(f"secret {secret}: another key")


def test_a_listing_makes_ready_whatever_was() -> None:
    was = ProbeState(ProviderStatus.ERROR, "broken", 7, 10.0)
    assert after(was, Listed(("a",))) == READY
    assert after(was, Listed(())) == READY
    assert after(CREATED, Listed((), note="goes on"), notes=("b", "c")).status_message == "goes on; b; c"


def test_no_listing_is_ready_too_and_says_what_it_is_good_for() -> None:
    state = after(CREATED, NoListing())
    assert state.status == ProviderStatus.READY
    assert "provider route only" in state.status_message


@pytest.mark.parametrize("was", [CREATED, READY])
def test_a_refusal_is_an_error_at_once(was: ProbeState) -> None:
    state = after(was, Refused("check secret a/b"))
    assert (state.status, state.status_message) == (ProviderStatus.ERROR, "check secret a/b")


def test_first_failures_are_pending_then_error() -> None:
    state = after(CREATED, Failing("refused"), now=1000)
    assert (state.status, state.failing_since, state.failures) == (ProviderStatus.PENDING, 1000, 1)
    state = after(state, Failing("refused"), now=1000 + PENDING_S - 0.1)
    assert state.status == ProviderStatus.PENDING
    state = after(state, Failing("refused"), now=1000 + PENDING_S)
    assert (state.status, state.status_message, state.failures) == (ProviderStatus.ERROR, "refused", 3)


def test_an_error_stays_one_while_it_fails() -> None:
    state = after(CREATED, Refused("key"), now=1000)
    assert after(state, Failing("timeout"), now=1001).status == ProviderStatus.ERROR


def test_a_ready_provider_serves_on_and_tells_of_the_failing_probe() -> None:
    state = after(READY, Failing("timeout"), now=1000)
    state = after(state, Failing("timeout"), now=99999)
    assert state.status == ProviderStatus.READY
    assert "timeout" in state.status_message
    assert after(state, Listed(())) == READY


@given(st.sampled_from(list(ProviderStatus)), st.integers(0, 50), st.none() | st.floats(1, 2000))
def test_what_says_nothing_changes_nothing(status: ProviderStatus, failures: int, since: float | None) -> None:
    state = ProbeState(status, "message", failures, since)
    outcome = after_verdict(state, Inconclusive("draining"), (), 1000, 300)
    assert outcome.state is None
    assert outcome.delay_s == 1


def test_pauses() -> None:
    assert [backoff_s(failures) for failures in range(9)] == [1, 1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff_s(10**9) == MAX_BACKOFF_S
    assert after_verdict(READY, Listed(()), (), 0, 300).delay_s == 300
    assert after_verdict(ProbeState(ProviderStatus.PENDING, "", 3, 1), Failing("x"), (), 2, 300).delay_s == 8

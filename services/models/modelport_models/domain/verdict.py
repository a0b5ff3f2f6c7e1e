"""What a probe's answer says of a provider (docs/wire.md, 3.4; docs/propagation.md, rule 25).

Answers of the provider, and gateway errors whose code speaks of the provider, are verdicts. Gateway errors that
speak of the gateway itself say nothing of the provider: the probe is repeated and nothing changes.
"""

from dataclasses import dataclass, replace

from modelport_contracts.resources.providers import ProviderStatus
from modelport_contracts.resources.secrets import BUILT_IN_SECRET

PENDING_S = 30.0
"""A provider that never answered is PENDING for this long, then ERROR."""
MAX_BACKOFF_S = 60.0

GATEWAY_CODES = frozenset(
    {
        "behind", "draining", "overloaded", "table_away", "secrets_away", "not_serving", "internal_error",
        "no_gateway", "gateway_lost", "provider_busy",
    }
)  # fmt: skip
"""Codes of gateway errors that say nothing of the provider. `no_gateway` and `gateway_lost` come from the load balancer
before the gateway; a provider that is busy up to its own limit is alive.
"""


@dataclass(frozen=True, slots=True)
class Listed:
    """The provider listed its models."""

    ids: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class NoListing:
    """The provider answers but has no OpenAI-style model listing, or none that can be read."""

    reason: str = "no v1/models listing"


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider wants another key, or there is none; or the gateway does not call such an address."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failing:
    """The provider did not answer as it should."""

    reason: str


@dataclass(frozen=True, slots=True)
class Inconclusive:
    """The probe never got to the provider."""

    reason: str


Verdict = Listed | NoListing | Refused | Failing | Inconclusive


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from the gateway for one probe request."""

    status: int
    from_gateway: bool
    code: str = ""
    message: str = ""


def judge_error(answer: Answer, secret: str | None) -> Verdict:
    """Judge an answer other than a 200. `secret` is `workspace/name` of the key the provider uses."""
    if answer.from_gateway:
        if answer.code in GATEWAY_CODES or answer.status in {404, 500}:
            return Inconclusive(answer.message or f"the gateway answered {answer.status}")
        if answer.status == 424:
            return Refused(_no_secret(answer, secret))
        if answer.code == "egress_refused":
            return Refused(answer.message)  # not an outage: the host_url, its DNS or a setting has to change
        return Failing(answer.message or f"the gateway answered {answer.status}")
    if answer.status in {401, 403}:
        what = f"check secret {secret}" if secret else "it needs a key: store one as a secret and name it here"
        return Refused(f"the provider refused the key ({answer.status}); {what}")
    if answer.status == 404:
        return NoListing()
    return Failing(f"the provider answered {answer.status} to GET v1/models")


def _no_secret(answer: Answer, secret: str | None) -> str:
    if answer.code in {"ca_unusable", "secret_unusable"}:
        return answer.message
    if answer.code == "secret_unreadable":
        what = f"secret {secret} cannot be opened by the secrets service; store its value again"
        return answer.message if secret and secret in answer.message else what
    if secret == "/".join(BUILT_IN_SECRET):
        return f"secret {secret} has no value: start the platform with NGC_API_KEY in its environment"
    return answer.message or f"secret {secret} is not to be had; store it, or name another in api_key_secret_name"


@dataclass(frozen=True, slots=True)
class ProbeState:
    """What discovery knows of a provider between probes. Times in Unix seconds."""

    status: str
    status_message: str
    failures: int
    failing_since: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A provider's next state and when to probe again; None leaves the state to whatever it is by then."""

    state: ProbeState | None
    delay_s: float


def after_verdict(
    state: ProbeState, verdict: Verdict, notes: tuple[str, ...], now: float, ready_interval_s: float
) -> Outcome:
    """Decide a provider's next state; the caller jitters the delay."""
    match verdict:
        case Inconclusive():
            return Outcome(None, 1.0)
        case Listed(note=note):
            message = "; ".join(part for part in (note, *notes) if part)
            return Outcome(ProbeState(ProviderStatus.READY, message, 0, None), ready_interval_s)
        case NoListing(reason):
            message = f"not OpenAI-compatible ({reason}); usable through the provider route only"
            return Outcome(ProbeState(ProviderStatus.READY, message, 0, None), ready_interval_s)
        case Refused(reason):
            failures = state.failures + 1
            since = min(state.failing_since or now, now)  # the clock may have been set back
            return Outcome(ProbeState(ProviderStatus.ERROR, reason, failures, since), backoff_s(failures))
        case Failing(reason):
            failures = state.failures + 1
            since = min(state.failing_since or now, now)  # the clock may have been set back
            failing = replace(state, failures=failures, failing_since=since)
            if state.status == ProviderStatus.READY:
                failing = replace(failing, status_message=f"serving on; the last probe failed: {reason}")
            else:
                status = ProviderStatus.ERROR if now - since >= PENDING_S else ProviderStatus.PENDING
                if state.status == ProviderStatus.ERROR:
                    status = ProviderStatus.ERROR
                failing = replace(failing, status=status, status_message=reason)
            return Outcome(failing, backoff_s(failures))


def backoff_s(failures: int) -> float:
    """Return the pause after so many failures in a row: 1 s doubling to 60 s."""
    return float(min(MAX_BACKOFF_S, 2 ** min(max(failures - 1, 0), 10)))

"""Waiting for a provider: until discovery has an answer, and until the gateways can route to it."""

from collections.abc import Callable
from dataclasses import replace

from modelport.calls import Call
from modelport.errors import ConnectionFailedError, NotFoundError, StatusError, WaitTimeoutError
from modelport.flows import Flow, Pause, Policy, T, perform
from modelport.resources import gateway, providers
from modelport.scope import Scope
from modelport_contracts.resources.providers import Provider, ProviderStatus

FIRST_POLL_S = 0.05
SLOWEST_POLL_S = 1.0
_POLL_GROWTH = 1.5
LONGEST_WAIT_S = 10.0
LONGEST_REQUEST_S = 60.0
"""One look takes no longer, however long the wait may go on: sockets know no timeout without end."""
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses of a platform that is starting or restarting; any other ends the waiting (docs/wire.md, 1)."""


def wait_for_provider(
    scope: Scope,
    policy: Policy,
    name: str,
    desired_status: ProviderStatus | str = ProviderStatus.READY,
    *,
    timeout: float = 60.0,
    check_gateway: bool = True,
    on_change: Callable[[Provider], None] | None = None,
    workspace: str | None = None,
) -> Flow[bool]:
    """Wait until a provider has a status and, for READY, until the gateways can route to it; then return True.

    `timeout` is in seconds. A provider in ERROR is waited for too: discovery goes on, and after a change of the
    provider the old status stands until the new probe. `on_change` is called with the provider whenever its status
    or status_message has changed. Raises WaitTimeoutError, and NotFoundError at once where there is no such provider.
    """
    wanted = str(desired_status)
    watch = _Stopwatch(policy, timeout)
    last: Provider | None = None
    while True:
        try:
            provider = yield from _ask(
                providers.noted(scope, providers.retrieve(scope, name, workspace=workspace)), policy, watch
            )
        except NotFoundError:
            if wanted == ProviderStatus.DELETED:
                return True
            raise
        if provider is not None:
            changed = last is None or _state(provider) != _state(last)
            last = provider
            if changed and on_change is not None:
                on_change(provider)
            if provider.status == wanted:
                break
        if watch.is_over():
            raise _gave_up(name, wanted, timeout, last)
        yield watch.pause()
    if wanted == ProviderStatus.READY and check_gateway:
        yield from wait_for_gateway(scope, policy, name, timeout=watch.left(), workspace=workspace)
    return True


def wait_for_gateway(
    scope: Scope,
    policy: Policy,
    name: str,
    *,
    timeout: float = 60.0,
    revision: str | int | None = None,
    workspace: str | None = None,
) -> Flow[bool]:
    """Wait until every live gateway can route to a provider, then return True. Raises WaitTimeoutError.

    `timeout` is in seconds. `revision` is what a write replied in `x-modelport-revision`; without it, that of this
    client's own last write to the provider, or what it last saw while waiting: so the write is in effect when this
    returns.
    """
    key = (scope.workspace if workspace is None else workspace, name)
    at_least = scope.revisions.get(key) if revision is None else revision
    watch = _Stopwatch(policy, timeout)
    while True:
        # The platform waits, and says so the moment that the last gateway has it.
        wait = round(min(LONGEST_WAIT_S, max(0.0, watch.left() - SLOWEST_POLL_S)), 1)
        call = gateway.ready(scope, name, revision=at_least, wait=wait, workspace=workspace)
        try:
            answer = yield from _ask(call, policy, watch)
        except NotFoundError:
            answer = None
        if answer is not None and answer.ready:
            return True
        if watch.is_over():
            raise WaitTimeoutError(f"the gateway cannot route to provider {name} after {timeout:.3g} s")
        yield watch.pause()


def _ask(call: Call[T], policy: Policy, watch: "_Stopwatch") -> Flow[T | None]:
    """Send a call once; None for a failure that may pass, which raises when time is up."""
    try:
        timely = replace(call, max_retries=0, timeout=min(max(watch.left(), SLOWEST_POLL_S), LONGEST_REQUEST_S))
        return (yield from perform(timely, policy))
    except ConnectionFailedError:
        if watch.is_over():
            raise
    except StatusError as error:
        if error.status_code not in _PASSING or watch.is_over():
            raise
    return None


class _Stopwatch:
    """How long a wait may still go on, and the pauses in between: short first, then longer."""

    def __init__(self, policy: Policy, timeout: float) -> None:
        self._clock = policy.monotonic
        self._end = self._clock() + timeout
        self._next = FIRST_POLL_S

    def left(self) -> float:
        return max(0.0, self._end - self._clock())

    def is_over(self) -> bool:
        return self.left() <= 0

    def pause(self) -> Pause:
        pause = Pause(min(self._next, self.left()))
        self._next = min(self._next * _POLL_GROWTH, SLOWEST_POLL_S)
        return pause


def _state(provider: Provider) -> tuple[str, str]:
    return provider.status, provider.status_message


def _gave_up(name: str, wanted: str, timeout: float, last: Provider | None) -> WaitTimeoutError:
    said = f"provider {name} is not {wanted} after {timeout:.3g} s"
    if last is None:
        return WaitTimeoutError(f"{said}: the platform did not answer")
    because = f": {last.status_message}" if last.status_message else ""
    return WaitTimeoutError(
        f"{said}, it is {last.status}{because}", status=last.status, status_message=last.status_message
    )

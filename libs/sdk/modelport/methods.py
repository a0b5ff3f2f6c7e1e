"""Turning calls into methods of the two clients.

`create = method(build)` in a resource's class makes `client.resource.create(...)` take what `build` takes (less
its scope) and return what the call's reply says; `async_method` makes the same awaitable. Type checkers and
`help` see the parameters and the documentation of `build`, so every method stands once, for both clients.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from modelport import flows
from modelport.calls import Call
from modelport.flows import Flow, Policy
from modelport.pages import AsyncList, ListCall, PageFlow, SyncPage
from modelport.runners import AsyncRunner, SyncRunner
from modelport.scope import Scope
from modelport_contracts.pages import Page

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Resource:
    """Base of a synchronous client's resources."""

    def __init__(self, runner: SyncRunner) -> None:
        self._runner = runner


class AsyncResource:
    """Base of an asynchronous client's resources."""

    def __init__(self, runner: AsyncRunner) -> None:
        self._runner = runner


def method(build: Callable[Concatenate[Scope, P], Call[T]]) -> Callable[Concatenate[Resource, P], T]:
    """Make a method that sends one call."""

    def run(self: Resource, /, *args: P.args, **kwargs: P.kwargs) -> T:
        call = build(self._runner.scope, *args, **kwargs)
        return self._runner.run(flows.perform(call, self._runner.policy))

    return described(run, build)


def async_method(
    build: Callable[Concatenate[Scope, P], Call[T]],
) -> Callable[Concatenate[AsyncResource, P], Awaitable[T]]:
    """Make an asynchronous method that sends one call."""

    async def run(self: AsyncResource, /, *args: P.args, **kwargs: P.kwargs) -> T:
        call = build(self._runner.scope, *args, **kwargs)
        return await self._runner.run(flows.perform(call, self._runner.policy))

    return described(run, build)


def flow_method(
    begin: Callable[Concatenate[Scope, Policy, P], Flow[T]],
) -> Callable[Concatenate[Resource, P], T]:
    """Make a method that takes several steps."""

    def run(self: Resource, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._runner.run(begin(self._runner.scope, self._runner.policy, *args, **kwargs))

    return described(run, begin, given=2)


def async_flow_method(
    begin: Callable[Concatenate[Scope, Policy, P], Flow[T]],
) -> Callable[Concatenate[AsyncResource, P], Awaitable[T]]:
    """Make an asynchronous method that takes several steps."""

    async def run(self: AsyncResource, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._runner.run(begin(self._runner.scope, self._runner.policy, *args, **kwargs))

    return described(run, begin, given=2)


def list_method(
    build: Callable[Concatenate[Scope, P], ListCall[T]],
) -> Callable[Concatenate[Resource, P], SyncPage[T]]:
    """Make a method that fetches a list's first page and, when iterated over, the rest."""
    return flow_list_method(_one_call_a_page(build))


def async_list_method(
    build: Callable[Concatenate[Scope, P], ListCall[T]],
) -> Callable[Concatenate[AsyncResource, P], AsyncList[T]]:
    """Make a method whose result is awaited for the first page or iterated over for all items."""
    return async_flow_list_method(_one_call_a_page(build))


def _one_call_a_page(
    build: Callable[Concatenate[Scope, P], ListCall[T]],
) -> Callable[Concatenate[Scope, P], PageFlow[T]]:
    @functools.wraps(build)
    def pages(scope: Scope, /, *args: P.args, **kwargs: P.kwargs) -> PageFlow[T]:
        call_of = build(scope, *args, **kwargs)
        return lambda number, policy: flows.perform(call_of(number), policy)

    return pages


def flow_list_method(
    build: Callable[Concatenate[Scope, P], PageFlow[T]],
) -> Callable[Concatenate[Resource, P], SyncPage[T]]:
    """Make a list's method where a page takes several calls."""

    def run(self: Resource, /, *args: P.args, **kwargs: P.kwargs) -> SyncPage[T]:
        runner = self._runner
        flow_of = build(runner.scope, *args, **kwargs)

        def fetch(number: int | None) -> Page[T]:
            return runner.run(flow_of(number, runner.policy))

        return SyncPage(fetch(None), fetch)

    return described(run, build)


def async_flow_list_method(
    build: Callable[Concatenate[Scope, P], PageFlow[T]],
) -> Callable[Concatenate[AsyncResource, P], AsyncList[T]]:
    """Make an asynchronous list's method where a page takes several calls."""

    def run(self: AsyncResource, /, *args: P.args, **kwargs: P.kwargs) -> AsyncList[T]:
        runner = self._runner
        flow_of = build(runner.scope, *args, **kwargs)

        async def fetch(number: int | None) -> Page[T]:
            return await runner.run(flow_of(number, runner.policy))

        return AsyncList(fetch)

    return described(run, build)


def described(run: F, build: Callable[..., Any], *, given: int = 1) -> F:
    """Give `run` the name, documentation and parameters of `build`, less the `given` first ones."""
    functools.update_wrapper(run, build)
    signature = inspect.signature(build)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    parameters = [own, *list(signature.parameters.values())[given:]]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run

"""Carrying flows out: one runner for threads, one for asyncio. The only code of the SDK that waits."""

import asyncio
import functools
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import httpx

from modelport.calls import Call
from modelport.flows import Flow, Pause, Policy, Send
from modelport.scope import Scope

T = TypeVar("T")


class SyncRunner:
    """Runs flows on an httpx.Client."""

    def __init__(self, http: httpx.Client, scope: Scope, policy: Policy, token: str | None) -> None:
        self.http = http
        self.scope = scope
        self.policy = policy
        self.token = token

    def run(self, flow: Flow[T]) -> T:
        """Carry a flow out to its end and return its result."""
        try:
            step = next(flow)
            while True:
                try:
                    outcome = self._carry_out(step)
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    def _carry_out(self, step: Send | Pause) -> httpx.Response | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        request = build_request(self.http, self.scope, step.call, self.token)
        response = self.http.send(request, stream=step.stream)
        if step.stream and not response.is_success:
            try:
                response.read()
            finally:
                response.close()
        return response


class AsyncRunner:
    """Runs flows on an httpx.AsyncClient."""

    def __init__(self, http: httpx.AsyncClient, scope: Scope, policy: Policy, token: str | None) -> None:
        self.http = http
        self.scope = scope
        self.policy = policy
        self.token = token

    async def run(self, flow: Flow[T]) -> T:
        """Carry a flow out to its end and return its result."""
        try:
            step = next(flow)
            while True:
                try:
                    outcome = await self._carry_out(step)
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _carry_out(self, step: Send | Pause) -> httpx.Response | None:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        request = build_request(self.http, self.scope, step.call, self.token)
        response = await self.http.send(request, stream=step.stream)
        if step.stream and not response.is_success:
            try:
                await response.aread()
            finally:
                await response.aclose()
        return response


def build_request(
    http: httpx.Client | httpx.AsyncClient, scope: Scope, call: Call[Any], token: str | None
) -> httpx.Request:
    """Turn a call into httpx' request."""
    headers = {"user-agent": user_agent()}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    if call.body is not None:
        headers["content-type"] = call.content_type
    return http.build_request(
        call.method,
        scope.base_url + call.path,
        content=call.body,
        headers={**headers, **call.headers},
        timeout=httpx.USE_CLIENT_DEFAULT if call.timeout is None else call.timeout,
    )


@functools.cache
def user_agent() -> str:
    """Name this SDK and its version."""
    try:
        return f"modelport/{version('modelport')}"
    except PackageNotFoundError:
        return "modelport"

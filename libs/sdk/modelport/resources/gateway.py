"""The gateway's routes: requests to providers and models (docs/wire.md, 3.5).

What comes after `/-/` goes to the provider unchanged, with slashes as they are. A method returns parsed JSON (text or
bytes where the reply is none); with `stream=True` an EventStream (AsyncEventStream from the asynchronous client); with
`raw=True` the httpx.Response.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar

import httpx
from pydantic import BaseModel

from modelport import flows, paths
from modelport.calls import Call, parse_as, plain
from modelport.events import AsyncEventStream, EventStream
from modelport.methods import AsyncResource, Resource, async_method, described, method
from modelport.runners import AsyncRunner, SyncRunner
from modelport.scope import Scope, member

P = ParamSpec("P")
T = TypeVar("T")
AppliedKind = Literal["provider", "virtual-model", "secret"]
REPLY_S = 10.0
"""What a reply that was waited for may take beyond the wait."""


class ProviderReady(BaseModel):
    """What the gateway says of a provider that can be used."""

    ready: bool
    provider: str
    """`workspace/name`."""
    host_url: str | None = None


class Applied(BaseModel):
    """What every live gateway acts on."""

    state: Literal["present", "absent"]
    revision: str


@dataclass(frozen=True)
class Forward:
    """A request through the gateway, and in which form its reply is wanted."""

    call: Call[Any]
    stream: bool
    raw: bool


class NamedRequest(Protocol):
    """Builds a request to a provider or model."""

    def __call__(
        self,
        scope: Scope,
        /,
        trailing_uri: str,
        *,
        name: str,
        body: Any = None,
        stream: bool = False,
        raw: bool = False,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        workspace: str | None = None,
    ) -> Forward: ...


class OpenAIRequest(Protocol):
    """Builds a request to the model that the body names."""

    def __call__(
        self,
        scope: Scope,
        /,
        trailing_uri: str,
        *,
        body: Any = None,
        stream: bool = False,
        raw: bool = False,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        workspace: str | None = None,
    ) -> Forward: ...


def parse_any(response: httpx.Response) -> Any:
    """Read whatever a provider sent: JSON parsed, other text as str, the rest as bytes, None for nothing."""
    if not response.content:
        return None
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return json.loads(response.content)
        except ValueError:
            return response.content
    return response.text if kind.startswith("text/") else response.content


def forward(
    http_method: str,
    route: str,
    trailing_uri: str,
    *,
    body: Any,
    stream: bool,
    raw: bool,
    headers: Mapping[str, str] | None,
    timeout: float | None,
) -> Forward:
    """Build a request below a route: a body of bytes goes as it is, all else as JSON."""
    if stream and isinstance(body, Mapping):
        body = {"stream": True, **body}
    if body is None or isinstance(body, bytes):
        content, content_type = body, "application/octet-stream"
    else:
        content, content_type = json.dumps(plain(body), ensure_ascii=False).encode(), "application/json"
    call: Call[Any] = Call(
        http_method,
        f"{route}/-/{paths.trailing(trailing_uri)}",
        parse_any,
        body=content,
        content_type=content_type,
        headers={name.lower(): value for name, value in (headers or {}).items()},
        timeout=timeout,
    )
    return Forward(call, stream, raw)


def _named(kind: str, http_method: str) -> NamedRequest:
    def build(
        scope: Scope,
        /,
        trailing_uri: str,
        *,
        name: str,
        body: Any = None,
        stream: bool = False,
        raw: bool = False,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        workspace: str | None = None,
    ) -> Forward:
        route = scope.in_workspace(paths.GATEWAY, workspace, kind, member(name))
        form: dict[str, Any] = {"stream": stream, "raw": raw, "headers": headers, "timeout": timeout}
        return forward(http_method, route, trailing_uri, body=body, **form)

    build.__name__ = http_method.lower()
    build.__doc__ = f"Send {http_method} to the {kind} called `name`."
    return build


def _openai(http_method: str) -> OpenAIRequest:
    def build(
        scope: Scope,
        /,
        trailing_uri: str,
        *,
        body: Any = None,
        stream: bool = False,
        raw: bool = False,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        workspace: str | None = None,
    ) -> Forward:
        route = scope.in_workspace(paths.GATEWAY, workspace, "openai")
        form: dict[str, Any] = {"stream": stream, "raw": raw, "headers": headers, "timeout": timeout}
        return forward(http_method, route, trailing_uri, body=body, **form)

    build.__name__ = http_method.lower()
    build.__doc__ = f"Send {http_method} to the model that the body's `model` names."
    return build


def ready(
    scope: Scope,
    /,
    name: str,
    *,
    revision: str | int | None = None,
    wait: float = 0.0,
    workspace: str | None = None,
) -> Call[ProviderReady]:
    """Ask whether a provider can be used through every live gateway, at `revision` or later.

    `wait` is for how many seconds the platform may wait for that (at most 60). Raises NotFoundError where it cannot.
    """
    path = scope.in_workspace(paths.GATEWAY, workspace, "provider", member(name), "ready")
    return _patient(Call("GET", paths.with_query(path, _asked(revision, wait)), parse_as(ProviderReady)), wait)


def applied(
    scope: Scope,
    /,
    kind: AppliedKind,
    name: str,
    *,
    revision: str | int | None = None,
    wait: float = 0.0,
    workspace: str | None = None,
) -> Call[Applied]:
    """Ask whether every live gateway acts on a change of something, or a later one.

    `revision` is what the write replied in `x-modelport-revision`; `wait` is for how many seconds the platform may wait
    (at most 60). Raises NotFoundError where they do not.
    """
    path = scope.in_workspace(paths.GATEWAY, workspace, "applied", paths.segment(kind, "kind"), member(name))
    return _patient(Call("GET", paths.with_query(path, _asked(revision, wait)), parse_as(Applied)), wait)


def _asked(revision: str | int | None, wait: float) -> list[tuple[str, str]]:
    query = [] if revision is None else [("revision", str(revision))]
    return [*query, ("wait", f"{wait:g}")] if wait else query


def _patient(call: Call[T], wait: float) -> Call[T]:
    return replace(call, timeout=wait + REPLY_S) if wait else call


def send_forward(runner: SyncRunner, request: Forward) -> Any:
    """Send a request through the gateway and return its reply in the wanted form."""
    response = runner.run(flows.exchange(request.call, runner.policy, stream=request.stream))
    if request.stream:
        return EventStream(response)
    return response if request.raw else request.call.parse(response)


async def send_forward_async(runner: AsyncRunner, request: Forward) -> Any:
    """Send a request through the gateway and return its reply in the wanted form."""
    response = await runner.run(flows.exchange(request.call, runner.policy, stream=request.stream))
    if request.stream:
        return AsyncEventStream(response)
    return response if request.raw else request.call.parse(response)


def forwarded(
    build: Callable[Concatenate[Scope, P], Forward],
) -> Callable[Concatenate[Resource, P], Any]:
    """Make a method that sends a request through the gateway."""

    def run(self: Resource, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        return send_forward(self._runner, build(self._runner.scope, *args, **kwargs))

    return described(run, build)


def async_forwarded(
    build: Callable[Concatenate[Scope, P], Forward],
) -> Callable[Concatenate[AsyncResource, P], Awaitable[Any]]:
    """Make an asynchronous method that sends a request through the gateway."""

    async def run(self: AsyncResource, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        return await send_forward_async(self._runner, build(self._runner.scope, *args, **kwargs))

    return described(run, build)


class ProviderRoute(Resource):
    """`client.inference.gateway.provider`: to one provider, bodies unchanged."""

    get = forwarded(_named("provider", "GET"))
    post = forwarded(_named("provider", "POST"))
    put = forwarded(_named("provider", "PUT"))
    patch = forwarded(_named("provider", "PATCH"))
    delete = forwarded(_named("provider", "DELETE"))
    ready = method(ready)


class ModelRoute(Resource):
    """`client.inference.gateway.model`: to one model, whichever provider serves it."""

    get = forwarded(_named("model", "GET"))
    post = forwarded(_named("model", "POST"))
    put = forwarded(_named("model", "PUT"))
    patch = forwarded(_named("model", "PATCH"))
    delete = forwarded(_named("model", "DELETE"))


class OpenAIRoute(Resource):
    """`client.inference.gateway.openai`: to the model that the body names."""

    get = forwarded(_openai("GET"))
    post = forwarded(_openai("POST"))
    put = forwarded(_openai("PUT"))
    patch = forwarded(_openai("PATCH"))
    delete = forwarded(_openai("DELETE"))


class Gateway(Resource):
    """`client.inference.gateway`: any request through one of the three routes.

    What comes after `/-/` is `trailing_uri`, a query included. A `body` of bytes goes as it is, all else as JSON. The
    result is parsed JSON (text or bytes where the reply is none); with `stream=True`, which also sets `stream` in the
    body, an EventStream; with `raw=True` the httpx.Response. `timeout` is in seconds; without it the client's.
    """

    applied = method(applied)

    def __init__(self, runner: SyncRunner) -> None:
        super().__init__(runner)
        self.provider = ProviderRoute(runner)
        self.model = ModelRoute(runner)
        self.openai = OpenAIRoute(runner)


class AsyncProviderRoute(AsyncResource):
    """`client.inference.gateway.provider` of the asynchronous client."""

    get = async_forwarded(_named("provider", "GET"))
    post = async_forwarded(_named("provider", "POST"))
    put = async_forwarded(_named("provider", "PUT"))
    patch = async_forwarded(_named("provider", "PATCH"))
    delete = async_forwarded(_named("provider", "DELETE"))
    ready = async_method(ready)


class AsyncModelRoute(AsyncResource):
    """`client.inference.gateway.model` of the asynchronous client."""

    get = async_forwarded(_named("model", "GET"))
    post = async_forwarded(_named("model", "POST"))
    put = async_forwarded(_named("model", "PUT"))
    patch = async_forwarded(_named("model", "PATCH"))
    delete = async_forwarded(_named("model", "DELETE"))


class AsyncOpenAIRoute(AsyncResource):
    """`client.inference.gateway.openai` of the asynchronous client."""

    get = async_forwarded(_openai("GET"))
    post = async_forwarded(_openai("POST"))
    put = async_forwarded(_openai("PUT"))
    patch = async_forwarded(_openai("PATCH"))
    delete = async_forwarded(_openai("DELETE"))


class AsyncGateway(AsyncResource):
    """`client.inference.gateway` of the asynchronous client."""

    applied = async_method(applied)

    def __init__(self, runner: AsyncRunner) -> None:
        super().__init__(runner)
        self.provider = AsyncProviderRoute(runner)
        self.model = AsyncModelRoute(runner)
        self.openai = AsyncOpenAIRoute(runner)

"""The steady load: clients of each gateway that keep their connection and check every reply to its end."""

import asyncio
import contextlib
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from modelport_testing.canaries import Kind, canary
from modelport_testing.echo_provider import EVENTS
from modelport_testing.journeys import GATEWAY
from modelport_testing.raw_client import RawClient, RawResponse, TruncatedError, build_json

TIMEOUT_S = 30.0
_CLIENT = f"Authorization: Bearer {canary(Kind.CLIENT)}"


@dataclass(frozen=True)
class Known:
    """A route that everybody knows before anything happens."""

    path: str
    model: str | None
    """What the body names, on the OpenAI route."""
    reached: str
    """Where such a request must arrive at the provider."""
    authorization: str


def known_routes(provider: str, model: str, base: str, key: str) -> list[Known]:
    """Return the three kinds of route to one provider whose host_url ends in `base`."""
    tail, reached = "v1/chat/completions", f"{base}/v1/chat/completions"
    return [
        Known(f"{GATEWAY}/default/provider/{provider}/-/{tail}", None, reached, f"Bearer {key}"),
        Known(f"{GATEWAY}/default/model/{model}/-/{tail}", None, reached, f"Bearer {key}"),
        Known(f"{GATEWAY}/default/openai/-/{tail}", model, reached, f"Bearer {key}"),
    ]


@dataclass(frozen=True)
class Failure:
    """A request that was not answered as it should be."""

    at: float
    """When it, or its connection, was begun; time.monotonic()."""
    target: str
    """The name of the gateway it was for."""
    kind: str
    status: int | None
    """None where no whole reply came."""
    what: str


@dataclass
class Traffic:
    """Clients of `targets` (ports by name), from `start` to `stop`."""

    targets: dict[str, Callable[[], int]]
    routes: Sequence[Known]
    plain: int = 2
    """Clients of each target that send plain requests."""
    streams: int = 2
    """Those that read event streams."""
    pause_s: float = 0.1
    """Between two requests of a client."""
    failures: list[Failure] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    """Good answers by target."""
    longest_s: dict[str, float] = field(default_factory=dict)
    """The longest that a plain request took, by target."""
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _clients: "list[asyncio.Task[None]]" = field(default_factory=list)
    _stopping: bool = False

    async def __aenter__(self) -> Self:
        for target in self.targets:
            for kind, count in (("plain", self.plain), ("stream", self.streams)):
                for _ in range(count):
                    self._clients.append(asyncio.ensure_future(self._client(target, kind)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def stop(self) -> None:
        """Let every client finish its request."""
        self._stopping = True
        await asyncio.gather(*self._clients)

    async def _client(self, target: str, kind: str) -> None:
        client: RawClient | None = None
        try:
            while not self._stopping:
                number = next(self._numbers)
                route = self.routes[number % len(self.routes)]
                at = time.monotonic()
                response: RawResponse | None = None
                try:
                    async with asyncio.timeout(TIMEOUT_S):
                        if client is None:
                            client = await RawClient.connect(f"http://127.0.0.1:{self.targets[target]()}")
                        await client.send(build_json(route.path, _body(route, number, kind), _CLIENT))
                        response = await client.read_response(timeout_s=TIMEOUT_S)
                    _check(route, number, kind, response)
                except (TruncatedError, OSError, AssertionError) as error:
                    status = response.status if response is not None else None
                    self.failures.append(Failure(at, target, kind, status, repr(error)[:600]))
                    if client is not None:
                        client.abort()
                    client = None
                else:
                    self.answered[target] += 1
                    if kind == "plain":
                        self.longest_s[target] = max(self.longest_s.get(target, 0.0), time.monotonic() - at)
                    if response.value("connection") == b"close":
                        await client.close()
                        client = None
                await asyncio.sleep(self.pause_s)
        finally:
            if client is not None:
                client.abort()
                with contextlib.suppress(ConnectionError):
                    await client.writer.wait_closed()


def _body(route: Known, number: int, kind: str) -> bytes:
    body: dict[str, object] = {"number": number, "messages": []}
    if route.model is not None:
        body["model"] = route.model
    if kind == "stream":
        body["stream"] = True
    return json.dumps(body).encode()


def _check(route: Known, number: int, kind: str, response: RawResponse) -> None:
    assert response.status == 200, response
    told = response.body
    if kind == "stream":
        events = response.body.split(b"\n\n")
        assert len(events) == EVENTS + 1, f"{len(events) - 1} of {EVENTS} events, the last {events[-2:]}"
        told = events[0].removeprefix(b"data: ")
    said = json.loads(told)
    assert said == {"path": route.reached, "authorization": route.authorization, "number": number}, said

"""How long a change takes: from the reply to it until every gateway acts on it.

Gateways are asked by inference requests, each on a connection of its own, again and again until the answer is the new
one; the last gateway's counts. The time of the request that finds out is part of it.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from modelport_testing.journeys import GATEWAY
from modelport_testing.raw_client import RawClient, RawResponse, build_json

PROVIDERS = "/apis/models/v2/workspaces/default/providers"
VIRTUAL_MODELS = f"{GATEWAY}/default/virtual-models"
SECRETS = "/apis/secrets/v2/workspaces/default/secrets"
KNOWN, OTHER, KEY = "known", "other", "sk-known-b1f0"
LIMIT_S = 10.0


@dataclass(frozen=True)
class Step:
    """One change and how it is recognised."""

    kind: str
    method: str
    path: str
    body: Any
    route: str
    """Where gateways are asked."""
    old: str
    new: str
    """What `_told` makes of the answer."""


@dataclass
class Times:
    """What was measured of one kind of change, in milliseconds."""

    written: list[float] = field(default_factory=list)
    """From sending the change to its reply."""
    applied: list[float] = field(default_factory=list)
    """From its reply until every gateway acts on it."""


@dataclass
class Place:
    """Connections to a platform: one for changes, one to each gateway."""

    writer: RawClient
    gateways: Sequence[RawClient]
    provider_url: str

    async def prepare(self) -> None:
        """Make what the steps need: two models, and a provider whose secret is gone."""
        for name in (KNOWN, OTHER):
            await self._write("POST", SECRETS, {"name": f"{name}-key", "value": KEY})
            host_url = f"{self.provider_url}/serve/{name}"
            body = {"name": name, "host_url": host_url, "api_key_secret_name": f"{name}-key"}
            await self._write("POST", PROVIDERS, body)
        await self._write("POST", SECRETS, {"name": "key", "value": "sk-0"})
        body = {"name": "keyed", "host_url": f"{self.provider_url}/at/keyed", "api_key_secret_name": "key"}
        await self._write("POST", PROVIDERS, body)
        await self._write("DELETE", f"{SECRETS}/key", None)
        for gateway in self.gateways:
            for name in (KNOWN, OTHER):
                await self._until(gateway, f"model/{name}", f"/serve/{name}")
            await self._until(gateway, "provider/keyed", "424")

    async def change(self, step: Step, times: Times) -> None:
        """Make one change, and measure. AssertionError where it is refused or never arrives."""
        for gateway in self.gateways:
            assert await self._ask(gateway, step.route) == step.old, step
        begun = time.perf_counter()
        await self._write(step.method, step.path, step.body)
        replied = time.perf_counter()
        await asyncio.gather(*(self._until(gateway, step.route, step.new) for gateway in self.gateways))
        times.written.append((replied - begun) * 1000)
        times.applied.append((time.perf_counter() - replied) * 1000)

    async def _write(self, method: str, path: str, body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        await self.writer.send(build_json(path, data, method=method))
        reply = await self.writer.read_response()
        assert reply.status in (200, 201, 204), reply

    async def _until(self, gateway: RawClient, route: str, wanted: str) -> None:
        end = time.monotonic() + LIMIT_S
        while (told := await self._ask(gateway, route)) != wanted:
            assert time.monotonic() < end, f"{route} is still {told} after {LIMIT_S:.0f} s, not {wanted}"

    async def _ask(self, gateway: RawClient, route: str) -> str:
        await gateway.send(build_json(f"{GATEWAY}/default/{route}/-/x", b"{}"))
        return _told(await gateway.read_response(), route)


def steps(number: int, provider_url: str) -> list[Step]:
    """Return one round: each of the three things is made, changed and removed."""
    first, second = f"{provider_url}/at/{number}a", f"{provider_url}/at/{number}b"
    virtual = {"name": "virtual", "models": [{"model": f"default/{KNOWN}"}]}
    gone = "404"
    rows = [
        ("provider", "POST", PROVIDERS, {"name": "moving", "host_url": first}, "provider/moving", f"/at/{number}a"),
        ("provider", "PUT", f"{PROVIDERS}/moving", {"host_url": second}, "provider/moving", f"/at/{number}b"),
        ("provider", "DELETE", f"{PROVIDERS}/moving", None, "provider/moving", gone),
        ("virtual model", "POST", VIRTUAL_MODELS, virtual, "model/virtual", f"/serve/{KNOWN}"),
        (
            "virtual model",
            "PATCH",
            f"{VIRTUAL_MODELS}/virtual",
            {"models": [{"model": f"default/{OTHER}"}]},
            "model/virtual",
            f"/serve/{OTHER}",
        ),
        ("virtual model", "DELETE", f"{VIRTUAL_MODELS}/virtual", None, "model/virtual", gone),
        (
            "secret",
            "POST",
            SECRETS,
            {"name": "key", "value": f"sk-{number}a"},
            "provider/keyed",
            f"Bearer sk-{number}a",
        ),
        ("secret", "PATCH", f"{SECRETS}/key", {"value": f"sk-{number}b"}, "provider/keyed", f"Bearer sk-{number}b"),
        ("secret", "DELETE", f"{SECRETS}/key", None, "provider/keyed", "424"),
    ]
    found: list[Step] = []
    for kind, method, path, body, route, new in rows:
        old = found[-1].new if found and found[-1].route == route else "424" if kind == "secret" else gone
        found.append(Step(kind, method, path, body, route, old, new))
    return found


async def measure(
    writer_url: str, gateway_urls: Sequence[str], provider_url: str, rounds: int, *, prepare: bool
) -> dict[str, Times]:
    """Run rounds; return what was measured, by `kind method`."""
    times: dict[str, Times] = {}
    async with await RawClient.connect(writer_url) as writer:
        gateways = [await RawClient.connect(url) for url in gateway_urls]
        try:
            place = Place(writer, gateways, provider_url)
            if prepare:
                await place.prepare()
            for number in range(rounds):
                for step in steps(number, provider_url):
                    await place.change(step, times.setdefault(f"{step.kind} {step.method}", Times()))
        finally:
            for gateway in gateways:
                await gateway.close()
    return times


def _told(reply: RawResponse, route: str) -> str:
    if reply.status != 200:
        return str(reply.status)
    said = json.loads(reply.body)
    return str(said["authorization"] if route == "provider/keyed" else said["path"].removesuffix("/x"))

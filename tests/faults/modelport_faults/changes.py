"""A user who goes on changing things while parts are away, and what has become of it in the end.

A change that was answered with success must be the truth in the end; one that was refused or never answered may be.
Every gateway must act on the truth; where its requests arrive at the provider, and with which key, tells on what it
acts.
"""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from modelport_testing.gateways import GatewayProcess
from modelport_testing.journeys import GATEWAY
from modelport_testing.polling import eventually
from modelport_testing.raw_client import RawResponse, TruncatedError, build_json, exchange

PROVIDERS = "/apis/models/v2/workspaces/default/providers"
VIRTUAL_MODELS = f"{GATEWAY}/default/virtual-models"
SECRETS = "/apis/secrets/v2/workspaces/default/secrets"
KNOWN, OTHER = "known", "other"
KNOWN_KEY = "sk-known-7b1d"
ANSWER_S = 3.0
"""How long the user waits for the answer to a change."""
ARRIVAL_S = 2.0
"""How long a change that was answered is watched for while a fault lasts."""
NOT_YET = (OSError, TruncatedError, TimeoutError, httpx.HTTPError)


@dataclass
class Thing:
    """Something that changes, and what it may be in the end: None for not there."""

    route: str
    """Where gateways are asked for it."""
    resource: str | None = None
    """Where the truth is to be had; None for a secret's value, which nobody shows."""
    kept: str | None = None
    unsure: list[str | None] = field(default_factory=list)
    """Refused and unanswered ones may have been carried out, and even late."""


@dataclass
class User:
    """Changes things through `url`; `provider_url` is the address of the echo provider."""

    url: str
    provider_url: str
    tried: int = 0
    """How many changes were begun."""
    answers: Counter[str] = field(default_factory=Counter)
    """The answers to changes: `ok`, an error code, or what happened instead."""
    arrivals_s: list[float] = field(default_factory=list)
    """How long changes took that were watched, from their answer until the surviving gateways acted on them."""
    unarrived: int = 0
    """Watched changes that had not arrived after ARRIVAL_S."""
    things: dict[str, Thing] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _made: list[str] = field(default_factory=list)

    async def prepare(self) -> None:
        """Make what is changed later."""
        for name in (KNOWN, OTHER):
            await self._surely(SECRETS, {"name": f"{name}-key", "value": KNOWN_KEY})
            host_url = f"{self.provider_url}/serve/{name}"
            await self._surely(PROVIDERS, {"name": name, "host_url": host_url, "api_key_secret_name": f"{name}-key"})
        await eventually(lambda: self._lists(KNOWN, OTHER), 20, ignoring=NOT_YET)
        await self._surely(SECRETS, {"name": "rotating-key", "value": "sk-0"})
        await self._surely(PROVIDERS, self._provider("rotating", "rotating-key"))
        await self._surely(PROVIDERS, self._provider("moving"))
        await self._surely(VIRTUAL_MODELS, {"name": "alias", "models": [{"model": f"default/{KNOWN}"}]})
        self.things = {
            "moving": Thing("provider/moving", f"{PROVIDERS}/moving", "/at/moving"),
            "rotating": Thing("provider/rotating", None, "Bearer sk-0"),
            "alias": Thing("model/alias", f"{VIRTUAL_MODELS}/alias", f"/serve/{KNOWN}"),
        }

    async def make_cold(self, names: Sequence[str]) -> None:
        """Register providers that no gateway is asked for yet."""
        async with self._client() as client:
            for name in names:
                (await client.post(PROVIDERS, json=self._provider(name))).raise_for_status()

    async def remove(self, names: Sequence[str]) -> None:
        """Remove providers again."""
        async with self._client() as client:
            for name in names:
                (await client.delete(f"{PROVIDERS}/{name}")).raise_for_status()

    async def go_on(self, interval_s: float, survivors: Sequence[GatewayProcess]) -> None:
        """Change one thing after the other, for ever."""
        while True:
            for step in (self.move, self.rotate, self.turn, self.make, self.drop):
                await step()
                if survivors and step == self.move and self.things["moving"].kept == self._last_move:
                    await self._watch(survivors)
                await asyncio.sleep(interval_s)

    async def move(self) -> bool:
        """Give a provider another address."""
        self._last_move = f"/at/moved-{next(self._numbers)}"
        body = {"host_url": f"{self.provider_url}{self._last_move}"}
        return await self._note("moving", self._last_move, "PUT", f"{PROVIDERS}/moving", body)

    async def rotate(self) -> bool:
        """Rotate a secret."""
        value = f"sk-{next(self._numbers)}"
        return await self._note("rotating", f"Bearer {value}", "PATCH", f"{SECRETS}/rotating-key", {"value": value})

    async def turn(self) -> bool:
        """Point a virtual model at another model."""
        model = (KNOWN, OTHER)[next(self._numbers) % 2]
        body = {"models": [{"model": f"default/{model}"}]}
        return await self._note("alias", f"/serve/{model}", "PATCH", f"{VIRTUAL_MODELS}/alias", body)

    async def make(self) -> bool:
        """Register a provider."""
        name = f"made-{next(self._numbers)}"
        self._made.append(name)
        self.things[name] = Thing(f"provider/{name}", f"{PROVIDERS}/{name}")
        return await self._note(name, f"/at/{name}", "POST", PROVIDERS, self._provider(name))

    async def drop(self) -> bool:
        """Remove the provider before the one made last."""
        if len(self._made) < 2 or self.things[self._made[-2]].kept is None:
            return True
        name = self._made[-2]
        return await self._note(name, None, "DELETE", f"{PROVIDERS}/{name}", None)

    async def settled(self, gateways: Sequence[GatewayProcess], timeout_s: float) -> None:
        """Wait until all gateways act on the truth for all that was changed. AssertionError tells what is wrong."""
        async with self._client() as client:
            for name, thing in self.things.items():
                await eventually(
                    lambda name=name, thing=thing: self._agrees(client, name, thing, gateways),  # type: ignore[misc]
                    timeout_s,
                    ignoring=NOT_YET,
                    interval=0.02,
                )

    async def forget(self) -> None:
        """Begin anew: what was made is removed, what was unsure is decided."""
        await self.remove([name for name in self._made if self.things[name].kept is not None])
        for name in self._made:
            del self.things[name]
        self._made.clear()
        for thing in self.things.values():
            thing.unsure.clear()
        self.answers.clear()
        self.arrivals_s.clear()
        self.unarrived = 0

    async def arrived(self, gateways: Sequence[GatewayProcess]) -> bool:
        """Tell whether gateways act on the last address of the provider that moves."""
        thing = self.things["moving"]
        return {await acts_on(gateway.url, thing.route) for gateway in gateways} == {thing.kept}

    async def _agrees(self, client: httpx.AsyncClient, name: str, thing: Thing, at: Sequence[GatewayProcess]) -> bool:
        found = {gateway.name: await acts_on(gateway.url, thing.route, name == "rotating") for gateway in at}
        allowed = {thing.kept, *thing.unsure}
        if thing.resource is not None:
            truth = await self._truth(client, thing.resource)
            assert truth in allowed, f"{name} is {truth}, but what was answered leaves only {allowed}"
            allowed = {truth}
        assert len(set(found.values())) == 1, f"{name}: {found}, of {allowed}"
        assert set(found.values()) <= allowed, f"{name}: {found}, of {allowed}"
        thing.kept = found[at[0].name]
        return True

    async def _truth(self, client: httpx.AsyncClient, resource: str) -> str | None:
        reply = await client.get(resource)
        if reply.status_code == 404:
            return None
        body = reply.raise_for_status().json()
        if "host_url" in body:
            return str(body["host_url"]).removeprefix(self.provider_url)
        return "/serve/" + str(body["models"][0]["model"]).removeprefix("default/")

    async def _note(self, name: str, value: str | None, method: str, path: str, body: Any) -> bool:
        thing = self.things[name]
        # Noted before it is sent: whoever is cancelled while waiting knows nothing of it either.
        thing.unsure.append(value)
        accepted = await self._change(method, path, body)
        if accepted:
            thing.unsure.remove(value)
            thing.kept = value
        return accepted

    async def _change(self, method: str, path: str, body: Any) -> bool:
        self.tried += 1
        try:
            async with self._client() as client:
                reply = await client.request(method, path, json=body)
        except httpx.HTTPError as error:
            self.answers[type(error).__name__] += 1
            return False
        self.answers["ok" if reply.is_success else code_of(reply.status_code, reply.content)] += 1
        return reply.is_success

    async def _surely(self, path: str, body: Any) -> None:
        """Make something before anything is tested; 409 says that an answer was lost."""

        async def made() -> bool:
            async with self._client() as client:
                return (await client.post(path, json=body)).status_code in (201, 409)

        await eventually(made, 20, ignoring=NOT_YET)

    async def _watch(self, survivors: Sequence[GatewayProcess]) -> None:
        answered = time.monotonic()
        try:
            await eventually(lambda: self.arrived(survivors), ARRIVAL_S, ignoring=NOT_YET, interval=0.005)
        except AssertionError:
            self.unarrived += 1
        else:
            self.arrivals_s.append(time.monotonic() - answered)

    async def _lists(self, *models: str) -> bool:
        async with self._client() as client:
            reply = await client.get(f"{GATEWAY}/default/openai/-/v1/models")
        return {f"default/{model}" for model in models} <= {one["id"] for one in reply.json()["data"]}

    def _provider(self, name: str, secret: str | None = None) -> dict[str, Any]:
        return {"name": name, "host_url": f"{self.provider_url}/at/{name}", "api_key_secret_name": secret}

    def _client(self) -> httpx.AsyncClient:
        # One for each: a user of the command line, whose connection is never one that has gone meanwhile.
        return httpx.AsyncClient(base_url=self.url, timeout=ANSWER_S, trust_env=False)


async def acts_on(gateway_url: str, route: str, wants_key: bool = False) -> str | None:
    """Return where a request on a route arrives, or with which key; None where the gateway knows no such route.

    AssertionError for any other answer.
    """
    reply = await exchange(gateway_url, build_json(f"{GATEWAY}/default/{route}/-/x", b"{}"))
    if reply.status == 404:
        return None
    assert reply.status == 200, (route, outcome(reply))
    said = json.loads(reply.body)
    return str(said["authorization"] if wants_key else said["path"].removesuffix("/x"))


def outcome(reply: RawResponse) -> str:
    """Return `ok` or a reply's error code."""
    return "ok" if reply.status == 200 else code_of(reply.status, reply.body)


def code_of(status: int, body: bytes) -> str:
    """Return the status and the error code of an error's body."""
    try:
        return f"{status} {json.loads(body)['error']['code']}"
    except (ValueError, KeyError, TypeError):
        return str(status)

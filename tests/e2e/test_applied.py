"""Once a change is said to be applied, no live gateway uses what was before it (docs/propagation.md, rules 17 to 22).

Real gateways are killed, halted, cut off from Redis and added while changes flow. Each change moves a provider to
another path of one server, so every reply tells which revision it was routed by.
"""

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelport_testing.edge import start_edge
from modelport_testing.gateways import Fleet, GatewayProcess, start_fleet
from modelport_testing.polling import eventually
from modelport_testing.scripted_upstream import Answering, RawRequest, ScriptedUpstream
from modelport_testing.tcp_proxy import TcpProxy, start_proxy

SECONDS = 20.0
GONE_AFTER_S = 3.0
DISTURBANCES = ["slow network", "halt", "reset", "halt in a slow network", "cut off", "slow network", "kill", "leave"]


async def echo_version(request: RawRequest, answering: Answering) -> None:
    """Answer with the version in the path."""
    body = request.target.split(b"/")[1]
    await answering.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


@dataclass
class Platform:
    """A fleet in which gateways reach Redis through networks of their own."""

    fleet: Fleet
    networks: contextlib.ExitStack

    def add(self, **environment: str) -> tuple[GatewayProcess, TcpProxy]:
        proxy = self.networks.enter_context(start_proxy(self.fleet.valkey.port))
        return self.fleet.add({"MODELPORT_REDIS_URL": proxy.url, **environment}), proxy


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with contextlib.ExitStack() as networks, start_fleet(tmp_path_factory.mktemp("applied")) as fleet:
        yield Platform(fleet, networks)


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(echo_version) as running:
        yield running


class Changes:
    """One provider that is moved again and again."""

    def __init__(self, fleet: Fleet, upstream: ScriptedUpstream, name: str) -> None:
        self._fleet = fleet
        self._upstream = upstream
        self._name = name
        self.version = 0
        self.path = f"/apis/inference-gateway/v2/workspaces/default/provider/{name}/-/x"
        self.applied = 0
        """The newest version that is said to be applied."""

    async def change(self) -> str:
        """Move the provider; return the change's revision."""
        self.version += 1
        return await asyncio.to_thread(self._fleet.change, self._name, f"{self._upstream.url}/{self.version}")

    async def is_applied(self, revision: str, wait_s: float) -> bool:
        """Ask, and note a yes."""
        version = self.version
        if await asyncio.to_thread(self._fleet[0].applied, self._name, revision, wait_s):
            self.applied = version
            return True
        return False

    async def ask(self, client: httpx.AsyncClient, gateway: GatewayProcess) -> int:
        """Ask a gateway by which version it routes."""
        answer = await client.get(f"{gateway.url}{self.path}")
        assert answer.status_code == 200, answer.text
        return int(answer.text)


async def test_a_gateway_that_was_halted_does_not_go_on_with_what_it_knew(
    platform: Platform, upstream: ScriptedUpstream
) -> None:
    """One gateway has no lease: it shows that the test finds what the lease prevents."""
    kept, kept_network = await asyncio.to_thread(platform.add)
    lax, lax_network = await asyncio.to_thread(platform.add, MODELPORT_LEASE="off")
    changes = Changes(platform.fleet, upstream, "halted")
    stale: Counter[str] = Counter()
    async with httpx.AsyncClient(timeout=30) as client:
        for _ in range(2):
            assert await changes.is_applied(await changes.change(), 20)
            for gateway in (kept, lax):
                assert await changes.ask(client, gateway) == changes.version
            # What Redis sends from now on reaches them late: after the request, as on a busy network.
            for network in (kept_network, lax_network):
                network.hold()
            for gateway in (kept, lax):
                gateway.pause()
            began = time.monotonic()
            assert await changes.is_applied(await changes.change(), 20)
            assert time.monotonic() - began > GONE_AFTER_S - 1
            asked = [asyncio.ensure_future(changes.ask(client, gateway)) for gateway in (kept, lax)]
            await asyncio.sleep(0.05)
            for network in (kept_network, lax_network):
                network.forward()
            for gateway in (lax, kept):
                gateway.resume()
            for gateway, version in zip((kept, lax), await asyncio.gather(*asked), strict=True):
                if version < changes.applied:
                    stale["away" if gateway is kept and "cut off from Redis" in gateway.log() else gateway.name] += 1
    await asyncio.gather(*(asyncio.to_thread(gateway.stop) for gateway in (kept, lax)))
    assert stale[kept.name] == 0
    assert stale[lax.name] > 0, "the lease makes no difference here"


@dataclass
class Prober:
    """Asks one gateway again and again, and holds every answer against what was said to be applied before.

    While a request is not answered others follow it: those that a halted gateway finds when it goes on.
    """

    gateway: GatewayProcess
    changes: Changes
    may_be_behind: Callable[[], bool]
    answers: int = 0
    failed: int = 0
    false_yes: list[str] = field(default_factory=list)

    async def run(self) -> None:
        asking: set[asyncio.Task[None]] = set()
        async with httpx.AsyncClient(timeout=30) as client:
            try:
                while True:
                    task = asyncio.ensure_future(self._ask(client))
                    asking.add(task)
                    task.add_done_callback(asking.discard)
                    await asyncio.wait({task}, timeout=0.4)
                    await asyncio.sleep(0.005)
            finally:
                for task in asking:
                    task.cancel()
                await asyncio.gather(*asking, return_exceptions=True)

    async def _ask(self, client: httpx.AsyncClient) -> None:
        known, away = self.changes.applied, self._away()
        excused = self.may_be_behind()
        try:
            version = await self.changes.ask(client, self.gateway)
        except (httpx.TransportError, AssertionError):
            self.failed += 1
            await asyncio.sleep(0.05)
            return
        self.answers += 1
        if version < known and not excused and not self.may_be_behind() and self._away() == away:
            self.false_yes.append(f"{self.gateway.name} routed by {version} after {known} was applied")

    def _away(self) -> int:
        """Count how often it found itself cut off: then it is not one of the live ones, and says so (rule 21)."""
        return self.gateway.log().count("cut off from Redis")


async def test_no_false_yes_while_gateways_come_and_go(platform: Platform, upstream: ScriptedUpstream) -> None:
    chance = random.Random(4)
    changes = Changes(platform.fleet, upstream, "moved")
    cut: set[str] = set()
    probers: list[Prober] = []
    tasks: list[asyncio.Task[Any]] = []
    done: Counter[str] = Counter()

    def probe(gateway: GatewayProcess) -> None:
        prober = Prober(gateway, changes, lambda: gateway.name in cut)
        probers.append(prober)
        tasks.append(asyncio.ensure_future(prober.run()))

    async def change() -> None:
        while True:
            revision = await changes.change()
            done["said" if await changes.is_applied(revision, 10) else "not said"] += 1
            await asyncio.sleep(chance.random() * 0.05)

    async def disturb(gateway: GatewayProcess, network: TcpProxy) -> None:
        kinds = itertools.cycle(chance.sample(DISTURBANCES, len(DISTURBANCES)))
        while True:
            await asyncio.sleep(0.1 + chance.random() * 0.5)
            what = next(kinds)
            done[what] += 1
            if what == "halt":
                gateway.pause()
                await asyncio.sleep(chance.choice([0.2, 1.0, 1.7]))
                gateway.resume()
            elif what == "slow network":
                network.hold()
                await asyncio.sleep(chance.choice([0.1, 0.3, 0.6]))
                network.forward()
            elif what == "reset":
                network.reset()
            elif what == "halt in a slow network":
                network.hold()
                gateway.pause()
                await asyncio.sleep(chance.choice([1.0, 3.8]))
                network.forward()
                gateway.resume()
            elif what == "cut off":
                cut.add(gateway.name)
                network.swallow()
                await asyncio.sleep(chance.choice([0.5, 3.8]))
                network.forward()
                await eventually(lambda: asyncio.to_thread(gateway.is_at_the_edge), 20)
                cut.discard(gateway.name)
            else:
                await asyncio.to_thread(gateway.kill if what == "kill" else gateway.stop)
                await asyncio.to_thread(gateway.start)

    assert await changes.is_applied(await changes.change(), 20)
    probe(platform.fleet[0])
    try:
        for _ in range(2):
            gateway, network = await asyncio.to_thread(platform.add, MODELPORT_LAME_DUCK_S="0.3")
            probe(gateway)
            tasks.append(asyncio.ensure_future(disturb(gateway, network)))
        tasks.append(asyncio.ensure_future(change()))
        await asyncio.sleep(SECONDS / 2)
        gateway, _network = await asyncio.to_thread(platform.add)
        probe(gateway)
        await asyncio.sleep(SECONDS / 2)
        assert not [task for task in tasks if task.done()], [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert [one for prober in probers for one in prober.false_yes] == []
    assert all(prober.answers > 20 for prober in probers), probers
    assert done["said"] > 8, done
    assert sum(done[what] for what in DISTURBANCES) > 8, done


async def test_a_gateway_cut_off_from_redis_says_so_to_the_edge_alone(
    platform: Platform, upstream: ScriptedUpstream
) -> None:
    gateway, network = await asyncio.to_thread(platform.add)
    changes = Changes(platform.fleet, upstream, "cut")
    assert await changes.is_applied(await changes.change(), 20)
    async with httpx.AsyncClient(timeout=30) as client:
        assert await changes.ask(client, gateway) == 1
        network.swallow()
        await eventually(lambda: asyncio.to_thread(lambda: not gateway.is_at_the_edge()), 20)
        assert (await client.get(f"{gateway.url}/health/ready")).status_code == 200
        assert await changes.is_applied(await changes.change(), 20), "the others go on without it"
        began = time.monotonic()
        assert await changes.ask(client, gateway) == 1, "what it knows it serves"
        assert time.monotonic() - began < 2
        network.forward()
        await eventually(lambda: asyncio.to_thread(gateway.is_at_the_edge), 20)
        assert await changes.ask(client, gateway) == 2
    await asyncio.to_thread(gateway.stop)


async def test_the_edge_prefers_gateways_that_follow_changes(
    platform: Platform, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """One that is cut off gets no requests; where all are, what they know still serves."""
    (near, near_network), (far, far_network) = [await asyncio.to_thread(platform.add) for _ in range(2)]
    changes = Changes(platform.fleet, upstream, "edge")
    assert await changes.is_applied(await changes.change(), 20)
    addresses = [f"127.0.0.1:{gateway.port}" for gateway in (near, far)]
    with start_edge(tmp_path, addresses) as edge:
        async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_keepalive_connections=0)) as client:

            async def ask() -> int:
                answer = await client.get(f"http://127.0.0.1:{edge.port}{changes.path}")
                assert answer.status_code == 200, answer.text
                return int(answer.text)

            for gateway in (near, far):
                assert await changes.ask(client, gateway) == 1
            far_network.swallow()
            assert await changes.is_applied(await changes.change(), 20)

            async def has_moved() -> bool:
                return [await ask() for _ in range(10)] == [2] * 10

            await eventually(has_moved, 20)
            near_network.swallow()
            await eventually(lambda: asyncio.to_thread(lambda: not near.is_at_the_edge()), 20)
            assert {await ask() for _ in range(20)} <= {1, 2}
            for network in (near_network, far_network):
                network.forward()
            await eventually(has_moved, 20)
    await asyncio.gather(*(asyncio.to_thread(gateway.stop) for gateway in (near, far)))

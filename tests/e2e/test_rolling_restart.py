"""Several gateways behind the edge: each is restarted in its turn, under load, and no request is lost."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelport_testing.edge import start_edge
from modelport_testing.gateways import Fleet, GatewayProcess, start_fleet
from modelport_testing.load import Load, serve_load
from modelport_testing.polling import eventually
from modelport_testing.raw_client import RawClient, build_request
from modelport_testing.scripted_upstream import Answering, RawRequest, ScriptedUpstream
from modelport_testing.servers import TestServer


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with start_fleet(tmp_path_factory.mktemp("fleet"), 3) as running:
        yield running


@pytest.fixture
def edge(tmp_path: Path, fleet: Fleet) -> Iterator[TestServer]:
    with start_edge(tmp_path, [f"127.0.0.1:{gateway.port}" for gateway in fleet.gateways]) as running:
        yield running


async def serves(gateway: GatewayProcess) -> None:
    """Wait until requests reach it."""
    before = len(gateway.access_log())
    await eventually(lambda: len(gateway.access_log()) > before + 10, 20)


async def test_a_rolling_restart_loses_nothing(fleet: Fleet, edge: TestServer) -> None:
    async with (
        ScriptedUpstream(serve_load) as upstream,
        Load(lambda: edge.port, fleet.register("rolling", upstream.url)) as load,
    ):
        load.start()
        for gateway in fleet.gateways:
            await serves(gateway)
        for gateway in fleet.gateways:
            gateway.terminate()
            await asyncio.to_thread(gateway.wait)
            await asyncio.to_thread(gateway.start)
            await serves(gateway)
        await load.stop()
    assert load.failures == []
    assert set(load.answered) == {"kept", "fresh", "stream", "upload"}


async def test_the_load_would_notice(fleet: Fleet, edge: TestServer) -> None:
    """A gateway that is killed takes requests with it: whoever sees none there sees nothing."""
    async with (
        ScriptedUpstream(serve_load) as upstream,
        Load(lambda: edge.port, fleet.register("killed", upstream.url)) as load,
    ):
        load.start()
        for gateway in fleet.gateways:
            await serves(gateway)
        await asyncio.to_thread(fleet[0].kill)
        await eventually(lambda: load.failures, 10)
        await asyncio.to_thread(fleet[0].start)
        await serves(fleet[0])
        await load.stop()
    # Requests that had reached no gateway were sent to another.
    assert not any(failure.stage == "connect" for failure in load.failures)


async def test_a_client_that_leaves_the_edge_leaves_the_provider(fleet: Fleet, edge: TestServer) -> None:
    left_after: list[float] = []

    async def script(_: RawRequest, answering: Answering) -> None:
        await answering.client_closed(20)
        left_after.append(time.monotonic() - left_at)
        answering.close()

    async with ScriptedUpstream(script) as upstream:
        route = fleet.register("left", upstream.url)
        client = await RawClient.connect(f"http://127.0.0.1:{edge.port}")
        await client.send(build_request("GET", route))
        await eventually(lambda: upstream.requests, 10)
        left_at = time.monotonic()
        await client.close()
        await eventually(lambda: left_after, 10)

"""The local stack, two gateways on one listening socket: each is ended in good order under load and comes back."""

import asyncio
import os
import signal
from collections.abc import Iterator

import httpx
import pytest

from modelport import Modelport
from modelport_testing.journeys import GATEWAY, gateway_urls, own_workspace
from modelport_testing.load import Load, serve_load
from modelport_testing.polling import eventually
from modelport_testing.scripted_upstream import ScriptedUpstream
from modelport_testing.stack import LocalStack, is_running, local_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with local_stack(tmp_path_factory.mktemp("stack"), gateways=2) as running:
        yield running


def knows(url: str, workspace: str) -> bool:
    answer = httpx.get(f"{url}{GATEWAY}/{workspace}/provider/loaded/ready")
    return bool(answer.status_code == 200 or answer.json()["error"]["code"] != "provider_not_found")


async def ended_and_back(stack: LocalStack, name: str, number: int) -> None:
    former = stack.pids[name]
    os.kill(former, number)
    await eventually(lambda: not is_running(former), 30, interval=0.1)
    await eventually(lambda: stack.pids[name] != former, 30, interval=0.1)


async def under_load(stack: LocalStack, number: int) -> Load:
    """End both gateways with a signal, one after the other; return what the clients saw."""
    port = int(stack.base_url.rpartition(":")[2])
    with own_workspace(stack.base_url) as workspace:
        async with ScriptedUpstream(serve_load) as upstream:
            with Modelport(stack.base_url, workspace) as client:
                client.inference.providers.create(name="loaded", host_url=upstream.url)
            await eventually(lambda: all(knows(url, workspace) for url in gateway_urls(stack)), 10)
            async with Load(lambda: port, f"{GATEWAY}/{workspace}/provider/loaded/-/") as load:
                load.start()
                await eventually(lambda: len(load.answered) == 4 and load.answered["kept"] > 50, 20)
                for name in ("modelport_gateway-1", "modelport_gateway-2"):
                    await ended_and_back(stack, name, number)
                await load.stop()
    return load


async def test_no_request_is_lost(stack: LocalStack) -> None:
    load = await under_load(stack, signal.SIGTERM)
    assert load.failures == []
    assert set(load.answered) == {"kept", "fresh", "stream", "upload"}


async def test_one_that_cannot_join_leaves_requests_to_the_others(stack: LocalStack) -> None:
    """What it takes from the shared socket it must answer, and it knows no route (docs/propagation.md, rule 22)."""
    port = int(stack.base_url.rpartition(":")[2])
    first, second = gateway_urls(stack)
    former, valkey = stack.pids["modelport_gateway-2"], stack.pids["valkey-server"]
    with own_workspace(stack.base_url) as workspace:
        async with ScriptedUpstream(serve_load) as upstream:
            with Modelport(stack.base_url, workspace) as client:
                client.inference.providers.create(name="loaded", host_url=upstream.url)
            await eventually(lambda: knows(first, workspace), 10)
            os.kill(valkey, signal.SIGSTOP)
            try:
                os.kill(former, signal.SIGKILL)
                # its own socket is open at once, and says so
                live = await asyncio.to_thread(httpx.get, f"{second}/health/live", timeout=30)
                assert live.status_code == 200
                async with Load(lambda: port, f"{GATEWAY}/{workspace}/provider/loaded/-/") as load:
                    load.start(streams=0, uploads=0)
                    await eventually(lambda: load.answered["fresh"] > 50, 8)
                    await load.stop()
            finally:
                os.kill(valkey, signal.SIGCONT)
            await eventually(lambda: stack.pids["modelport_gateway-2"] != former, 30, interval=0.1)
    assert load.failures == []


async def test_the_load_would_notice(stack: LocalStack) -> None:
    assert (await under_load(stack, signal.SIGKILL)).failures

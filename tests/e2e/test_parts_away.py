"""Known routes serve while parts of the platform are paused, killed or emptied; nothing is lost by it."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from modelport import Modelport, ModelportError
from modelport_testing.canaries import Kind, canary
from modelport_testing.journeys import GATEWAY, register
from modelport_testing.polling import eventually_sync
from modelport_testing.providers import Style
from modelport_testing.stack import LocalStack, local_stack
from modelport_testing.upstreams import Upstream, start_upstream

PAUSE_S = 3.0
KEY = canary(Kind.PROVIDER, "sk-known-")


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with start_upstream(Style.OPENAI, key=KEY) as running:
        yield running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[LocalStack]:
    """A platform for this module to break, with a provider that every request below is for."""
    with local_stack(tmp_path_factory.mktemp("broken")) as running:
        with Modelport(running.base_url) as client:
            register(client, upstream)
        yield running


class Load:
    """Requests on each route, one after another, from a user who cannot know that anything is wrong."""

    ROUTES = ("provider/openai", "model/gpt-4", "openai")

    def __init__(self, base_url: str) -> None:
        self._client = httpx.Client(base_url=base_url, timeout=10)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.outcomes: Counter[str] = Counter()

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    @property
    def good(self) -> int:
        return self.outcomes["200"]

    def more(self, count: int = 50, *, for_s: float = 0.0) -> None:
        """Wait for that many further good answers, and for at least `for_s` seconds."""
        wanted, end = self.good + count, time.monotonic() + for_s
        eventually_sync(lambda: self.good >= wanted and time.monotonic() >= end, for_s + 10)

    def _run(self) -> None:
        body = {"model": "gpt-4", "messages": [{"role": "user", "content": "Hello!"}]}
        while not self._stop.is_set():
            for route in self.ROUTES:
                try:
                    reply = self._client.post(f"{GATEWAY}/default/{route}/-/v1/chat/completions", json=body)
                    outcome = (
                        str(reply.status_code) if reply.status_code == 200 else f"{reply.status_code} {reply.text}"
                    )
                except httpx.HTTPError as error:
                    outcome = repr(error)
                self.outcomes[outcome] += 1


@contextmanager
def unharmed(stack: LocalStack) -> Iterator[Load]:
    """Run the load meanwhile; every single answer must be good."""
    with Load(stack.base_url) as load:
        load.more()
        yield load
        load.more()
    assert set(load.outcomes) == {"200"}


@contextmanager
def paused(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def kill(stack: LocalStack, part: str) -> None:
    """Kill a part and wait until the supervisor has brought it back."""
    old = stack.pids[part]
    os.kill(old, signal.SIGKILL)
    eventually_sync(lambda: stack.pids[part] != old, 30)


def wait_until_changes_work(stack: LocalStack) -> None:
    """Wait until a change goes all the way again: from the database to an answered request."""
    with Modelport(stack.base_url, max_retries=0) as client:
        eventually_sync(
            lambda: client.inference.providers.create(name="later", host_url="http://127.0.0.1:9", exist_ok=True),
            30,
            ignoring=(ModelportError,),
        )

        def known() -> bool:
            return httpx.get(f"{stack.base_url}{GATEWAY}/default/provider/later/-/x").status_code == 502

        eventually_sync(known, 30)
        client.inference.providers.delete("later")


@pytest.mark.parametrize("part", ["modelport_models", "modelport_secrets", "nats-server"])
def test_known_routes_serve_while_a_part_is_killed(part: str, stack: LocalStack) -> None:
    with unharmed(stack):
        kill(stack, part)
    wait_until_changes_work(stack)


@pytest.mark.parametrize(
    "parts",
    [["modelport_models", "modelport_secrets", "nats-server"], ["valkey-server"]],
    ids=["everything behind the gateway", "valkey"],
)
def test_known_routes_serve_while_parts_hang(parts: list[str], stack: LocalStack) -> None:
    pids = [stack.pids[part] for part in parts]
    with unharmed(stack) as load, paused(pids[0]), paused(pids[len(pids) // 2]), paused(pids[-1]):
        load.more(200, for_s=PAUSE_S)
    wait_until_changes_work(stack)


def test_without_valkey_unknown_routes_are_never_said_not_to_exist(stack: LocalStack, upstream: Upstream) -> None:
    url = f"{stack.base_url}{GATEWAY}/default/provider"
    with Modelport(stack.base_url) as client:
        client.inference.providers.create(name="unasked", host_url=upstream.host_url, api_key_secret_name="openai-key")
        client.models.wait_for_provider("unasked")
    with unharmed(stack):
        with paused(stack.pids["valkey-server"]):
            reply = httpx.get(f"{url}/never-heard-of/-/v1/echo", timeout=10)
            assert reply.status_code == 503
            assert int(reply.headers["retry-after"]) >= 1
            assert reply.json()["type"] == "error"
        eventually_sync(lambda: httpx.get(f"{url}/never-heard-of/-/v1/echo").status_code == 404, 10)

        # It comes back empty: until the table is rebuilt nothing is believed to be absent.
        old = stack.pids["valkey-server"]
        os.kill(old, signal.SIGKILL)
        seen: list[int] = []

        def rebuilt() -> bool:
            seen.append(httpx.get(f"{url}/unasked/-/v1/echo").status_code)
            return stack.pids["valkey-server"] != old and seen[-10:] == [200] * 10

        eventually_sync(rebuilt, 30)
        assert set(seen) <= {200, 503}
        eventually_sync(lambda: httpx.get(f"{url}/never-heard-of/-/v1/echo").status_code == 404, 20)
    with Modelport(stack.base_url) as client:
        client.inference.providers.delete("unasked")


def test_a_killed_gateway_is_back_with_all_it_knew(stack: LocalStack) -> None:
    kill(stack, "modelport_gateway")
    with unharmed(stack):
        pass


def test_changes_made_while_nats_hangs_are_not_lost(stack: LocalStack, upstream: Upstream) -> None:
    with Modelport(stack.base_url) as client, unharmed(stack):
        with paused(stack.pids["nats-server"]):
            client.inference.providers.create(
                name="meanwhile", host_url=upstream.host_url, api_key_secret_name="openai-key"
            )
            reply = httpx.get(f"{stack.base_url}{GATEWAY}/default/provider/meanwhile/-/v1/echo")
            assert reply.status_code in {200, 404}
        client.models.wait_for_provider("meanwhile", timeout=30)
        client.inference.providers.delete("meanwhile")

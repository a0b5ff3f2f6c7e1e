"""Modelport itself: a local stack of its own, with the providers that are measured."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from modelport_bench.workload import INFERENCE, MODEL, PROVIDER, SMALL_REQUEST, SSE_PROVIDER, TAIL
from modelport_testing.polling import eventually_sync
from modelport_testing.stack import LocalStack

_PROVIDERS = "/apis/models/v2/workspaces/default/providers"


@contextlib.contextmanager
def running(stack: LocalStack) -> Iterator[LocalStack]:
    """Start a stack and end it, whatever happens."""
    try:
        stack.start()
        yield stack
    finally:
        stack.close()


def gateway_pids(stack: LocalStack) -> list[int]:
    """Return the process ids of the stack's gateways."""
    return [pid for name, pid in stack.pids.items() if name.startswith("modelport_gateway")]


def register(stack: LocalStack, upstream: str, streams: str) -> None:
    """Register the two providers and wait until both can be used."""
    with httpx.Client(base_url=stack.base_url, timeout=30, trust_env=False) as client:
        for name, host_url in ((SSE_PROVIDER, streams), (PROVIDER, upstream)):
            client.post(_PROVIDERS, json={"name": name, "host_url": host_url}).raise_for_status()
            listing = f"{INFERENCE}/provider/{name}/-/v1/models"
            eventually_sync(lambda path=listing: client.get(path).status_code == 200, 10)  # type: ignore[misc]
        model = f"{INFERENCE}/model/{MODEL}/-/v1/models"
        eventually_sync(lambda: client.get(model).status_code == 200, 10)


def start_times(folder: Path, times: int) -> list[float]:
    """Start and end a stack over and over in one data folder; return how long it took until it took requests."""
    found = []
    for _ in range(times):
        stack = LocalStack(folder / "data", folder / "console.txt")
        with running(stack):
            found.append(stack.seconds_to_ready)
    return found


def time_to_first_answer(stack: LocalStack, upstream: str, times: int) -> list[float]:
    """Register providers one after another; return for each the seconds until its first request was answered."""
    found = []
    with httpx.Client(base_url=stack.base_url, timeout=30, trust_env=False) as client:
        for number in range(times):
            name = f"{PROVIDER}-{number}"
            path = f"{INFERENCE}/provider/{name}/-/{TAIL}"
            started = time.perf_counter()
            client.post(_PROVIDERS, json={"name": name, "host_url": upstream}).raise_for_status()
            while client.post(path, content=SMALL_REQUEST).status_code != 200:
                if time.perf_counter() - started > 10:
                    raise RuntimeError(f"provider {name} does not answer")
            found.append(time.perf_counter() - started)
            client.delete(f"{_PROVIDERS}/{name}").raise_for_status()
    return found

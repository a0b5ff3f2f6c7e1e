"""A large routing table: how long it takes to be made, what a gateway beside it costs, what a change costs."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from redis import Redis

from modelport_bench.proc import memory_mib
from modelport_scale.fill import NOT_PROBED_S, PER_WORKSPACE, fill, provider_name, workspace_name
from modelport_testing.gateways import Fleet, start_fleet
from modelport_testing.journeys import GATEWAY
from modelport_testing.polling import eventually_sync
from modelport_testing.postgres import PostgresServer
from modelport_testing.providers import Style
from modelport_testing.upstreams import start_upstream

KNOWN = 20
"""Routes that are asked all the time while the table is made anew."""
CHANGES = 30
_AT_ONCE = 16
_BUILD_S = 600.0


@dataclass
class TableFigures:
    """What was measured. Seconds, milliseconds and MiB, as the names say."""

    database: str
    providers: int
    models: int
    fill_s: float = 0.0
    build_s: float = 0.0
    """From the start of the service to the whole table, an empty Redis before."""
    start_s: list[float] = field(default_factory=list)
    """A further gateway, from its start to ready, the table being there."""
    memory_mib: float = 0.0
    """Of a gateway that has just started."""
    used: int = 0
    memory_used_mib: float = 0.0
    """Of the same after so many different providers were called."""
    change_ms: list[float] = field(default_factory=list)
    """From the PUT of a provider to all gateways acting on it."""
    rebuild_s: float = 0.0
    """From FLUSHALL to the whole table."""
    known_requests: int = 0
    known_failures: int = 0
    """On known routes, while the table was made anew."""
    false_absences: int = 0
    """Unread providers that a gateway said not to exist meanwhile."""


def measure_table(
    folder: Path, providers: int, models_each: int, used: int, postgres: PostgresServer | None
) -> TableFigures:
    """Measure on a platform of its own, in `folder`."""
    figures = TableFigures("sqlite" if postgres is None else "postgresql", providers, providers * models_each)
    unasked = {"MODELPORT_DISCOVERY_INTERVAL_S": str(NOT_PROBED_S)}
    with (
        start_upstream(Style.OPENAI) as upstream,
        start_fleet(folder, 1, postgres=postgres, services_environment=unasked) as fleet,
    ):
        models, redis = fleet.services["models"], Redis.from_url(fleet.valkey.url)
        models.stop()
        began = time.monotonic()
        asyncio.run(fill(models.environment["MODELPORT_DATABASE_URL"], providers, models_each, upstream.host_url))
        figures.fill_s = time.monotonic() - began
        redis.flushall()
        began = time.monotonic()
        models.start()
        _wait_whole(redis)
        figures.build_s = time.monotonic() - began
        _start_gateways(fleet, figures)
        newest = fleet.gateways[-1]
        figures.memory_mib = memory_mib(newest.pid)
        figures.used = min(used, providers)
        answers = asyncio.run(_call(newest.url, range(figures.used)))
        assert answers == {httpx.codes.OK: figures.used}, answers
        figures.memory_used_mib = memory_mib(newest.pid)
        for number in range(CHANGES):
            began = time.monotonic()
            revision = fleet.change("changing", f"{upstream.host_url}/{number}")
            assert fleet[0].applied("changing", revision, wait_s=20)
            figures.change_ms.append((time.monotonic() - began) * 1000)
        with _known_routes(newest.url, figures), _unread(newest.url, figures, figures.used):
            began = time.monotonic()
            redis.flushall()
            _wait_whole(redis)
            figures.rebuild_s = time.monotonic() - began
        redis.close()
    return figures


def _start_gateways(fleet: Fleet, figures: TableFigures) -> None:
    for _ in range(3):
        began = time.monotonic()
        gateway = fleet.add()
        figures.start_s.append(time.monotonic() - began)
        if len(figures.start_s) < 3:
            gateway.stop()
            fleet.gateways.remove(gateway)


def _wait_whole(redis: Redis) -> None:
    def whole() -> bool:
        epoch, *marks = redis.mget("rt:epoch", "rt:complete:models", "rt:complete:secrets")
        return epoch is not None and all(mark == epoch for mark in marks)

    eventually_sync(whole, _BUILD_S)


def _route(number: int) -> str:
    return f"{GATEWAY}/{workspace_name(number // PER_WORKSPACE)}/provider/{provider_name(number % PER_WORKSPACE)}"


async def _call(url: str, numbers: range) -> Counter[int]:
    """Call providers, each once; returns how many answered with which status."""
    waiting = iter(numbers)
    answers: Counter[int] = Counter()

    async def caller(client: httpx.AsyncClient) -> None:
        for number in waiting:
            answers[(await client.get(f"{url}{_route(number)}/-/v1/models")).status_code] += 1

    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        await asyncio.gather(*(caller(client) for _ in range(_AT_ONCE)))
    return answers


@contextmanager
def _repeating(work: threading.Thread, stop: threading.Event) -> Iterator[None]:
    work.start()
    try:
        yield
    finally:
        stop.set()
        work.join()


@contextmanager
def _known_routes(url: str, figures: TableFigures) -> Iterator[None]:
    """Ask known routes all the time."""
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            while not stop.is_set():
                for number in range(KNOWN):
                    reply = client.get(f"{_route(number)}/-/v1/models")
                    figures.known_requests += 1
                    figures.known_failures += not reply.is_success
                time.sleep(0.1)

    with _repeating(threading.Thread(target=ask), stop):
        yield


@contextmanager
def _unread(url: str, figures: TableFigures, first: int) -> Iterator[None]:
    """Ask for providers that this gateway has not read yet: they may be delayed or refused, never denied."""
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            for number in range(first, figures.providers):
                reply = client.get(f"{_route(number)}/-/v1/models")
                figures.false_absences += reply.status_code == httpx.codes.NOT_FOUND
                if stop.wait(0.05):
                    return

    with _repeating(threading.Thread(target=ask), stop):
        yield

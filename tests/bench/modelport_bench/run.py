"""One run from start to end: brings the processes up, measures part after part, fills in the figures."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from modelport_bench import nginx, others, platform, proc, rounds, scaling, sse
from modelport_bench.figures import Cell, Figures, Memory, Other, StreamFigures
from modelport_bench.others import OtherGateway
from modelport_bench.rounds import Target
from modelport_bench.soak import soak
from modelport_bench.workload import DIRECT, INFERENCE, MAIN, NGINX, PROVIDER_ROUTE, ROUTES, SSE_PROVIDER, TAIL, Case
from modelport_testing.stack import LocalStack

PARTS: Final = ("requests", "streams", "start")
MORE_PARTS: Final = ("gateways", "soak")
"""What is measured only when it is asked for."""
_FIRST_EVENT_STREAMS = 32
_FIRST_EVENT_TIMES = 6
_FIRST_EVENT_EVENTS = 10
_STEADY_STREAMS = 512


@dataclass(frozen=True)
class Plan:
    """What to measure, and for how long."""

    parts: Sequence[str]
    rounds: int
    seconds: tuple[int, int]
    targets: Sequence[str]
    cases: Sequence[Case]
    events: int
    """Of each steady stream, 20 a second."""
    first_event_rounds: int
    starts: int
    changes: int
    gateways: int
    soak_minutes: float
    others: Sequence[str]


@dataclass(frozen=True)
class Place:
    """Everything that runs, with its addresses."""

    folder: Path
    upstream: nginx.Nginx
    proxy: nginx.Nginx
    streams: str
    """The streaming upstream's address."""


def measure(folder: Path, plan: Plan, figures: Figures, tell: Callable[[str], None]) -> None:
    """Measure what the plan says. Raises wrk.LoadError, nginx.StartError."""
    with place(folder) as found:
        if "start" in plan.parts:
            tell("start times")
            (folder / "start").mkdir()
            figures.start_s = platform.start_times(folder / "start", plan.starts)
        if {*PARTS} & {*plan.parts}:
            _measure_one_gateway(found, plan, figures, tell)
        if "gateways" in plan.parts:
            upstreams = found.upstream.url, found.streams
            proxy = Target(found.proxy.url, (found.proxy.worker,))
            figures.scaling = scaling.measure(folder, plan.gateways, upstreams, proxy, plan.rounds, tell)
        if "soak" in plan.parts:
            with _stack(found, "soak") as (stack, gateway):
                log = stack.data_dir / "logs/modelport_gateway.log"
                figures.soak = soak(folder, stack.base_url, gateway, log, plan.soak_minutes, tell)


def _measure_one_gateway(found: Place, plan: Plan, figures: Figures, tell: Callable[[str], None]) -> None:
    with _stack(found, "stack") as (stack, gateway):
        at_start = proc.memory_mib(gateway)
        if "requests" in plan.parts:
            _measure_requests(found, stack.base_url, gateway, plan, figures, tell)
        if "streams" in plan.parts:
            figures.streams = streams(found, stack.base_url, gateway, plan, tell)
        if "start" in plan.parts:
            tell("changes")
            seconds = platform.time_to_first_answer(stack, found.upstream.url, plan.changes)
            figures.create_to_first_answer_s = seconds
        figures.memory = Memory(at_start, proc.memory_mib(gateway, "VmHWM"))


def _measure_requests(
    found: Place, base_url: str, gateway: int, plan: Plan, figures: Figures, tell: Callable[[str], None]
) -> None:
    ours = request_targets(found, base_url, gateway)
    with contextlib.ExitStack() as running:
        beside: dict[str, OtherGateway] = {}
        for name in plan.others:
            tell(f"starting {name}")
            (found.folder / name).mkdir()
            start = others.KNOWN[name](found.folder / name, found.upstream.url)
            beside[name] = running.enter_context(start)
        targets = {name: ours[name] for name in plan.targets} | {name: one.target for name, one in beside.items()}
        tell("warming up")
        cells = rounds.measure(found.folder, targets, plan.cases, plan.rounds, plan.seconds, tell)
        figures.cells = [cell for cell in cells if cell.target not in beside]
        for cell in cells:
            if cell.target in beside:
                figures.others[cell.target] = _other(beside[cell.target], cell)


def _other(gateway: OtherGateway, cell: Cell) -> Other:
    memory = proc.memory_mib(gateway.pid)
    return Other(gateway.version, gateway.configured, gateway.compared_with, cell, memory)


@contextlib.contextmanager
def _stack(found: Place, name: str) -> Iterator[tuple[LocalStack, int]]:
    """Run a stack of one gateway that knows the providers; yield it and the gateway's process id."""
    folder = found.folder / name
    folder.mkdir()
    stack = LocalStack(folder / "data", folder / "console.txt")
    with platform.running(stack):
        (gateway,) = platform.gateway_pids(stack)
        platform.register(stack, found.upstream.url, found.streams)
        yield stack, gateway


@contextlib.contextmanager
def place(folder: Path) -> Iterator[Place]:
    """Run both upstreams and the plain proxy."""
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(nginx.upstream(folder / "upstream"))
        streams = stack.enter_context(_streaming_upstream())
        proxy = stack.enter_context(nginx.reverse_proxy(folder / "proxy", upstream.port, streams))
        yield Place(folder, upstream, proxy, f"http://127.0.0.1:{streams}")


@contextlib.contextmanager
def _streaming_upstream() -> Iterator[int]:
    command = [sys.executable, "-m", "modelport_bench.sse_upstream"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.communicate(timeout=10)


def request_targets(found: Place, base_url: str, gateway: int) -> dict[str, Target]:
    """Return where loads go."""
    routes = {name: Target(f"{base_url}{path}", (gateway,)) for name, path in ROUTES.items()}
    return {DIRECT: Target(found.upstream.url), NGINX: Target(found.proxy.url, (found.proxy.worker,)), **routes}


def streams(found: Place, base_url: str, gateway: int, plan: Plan, tell: Callable[[str], None]) -> StreamFigures:
    """Stream directly, through nginx, through the gateway."""
    targets = {
        DIRECT: (urlsplit(found.streams).netloc, f"/{TAIL}", []),
        NGINX: (urlsplit(found.proxy.url).netloc, f"/streams/{TAIL}", [found.proxy.worker]),
        PROVIDER_ROUTE: (urlsplit(base_url).netloc, f"{INFERENCE}/provider/{SSE_PROVIDER}/-/{TAIL}", [gateway]),
    }
    figures = StreamFigures(first={name: [] for name in targets})
    for name, (host, path, pids) in targets.items():
        tell(f"{_STEADY_STREAMS} streams, {name}")
        before = proc.cpu_of(pids)
        seen = sse.run(host, path, MAIN.request(host, path), streams=_STEADY_STREAMS, events=plan.events)
        seen.cpu_us_per_event = (proc.cpu_of(pids) - before) / seen.events * 1_000_000
        figures.steady[name] = seen
    for number in range(plan.first_event_rounds):
        tell(f"time to first event, round {number + 1} of {plan.first_event_rounds}")
        for name, (host, path, _) in targets.items():
            seen = sse.run(
                host,
                path,
                MAIN.request(host, path),
                streams=_FIRST_EVENT_STREAMS,
                events=_FIRST_EVENT_EVENTS,
                times=_FIRST_EVENT_TIMES,
            )
            figures.first[name].append(seen)
    return figures

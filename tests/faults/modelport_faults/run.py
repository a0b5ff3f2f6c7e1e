"""One scenario on a platform: load, fault, end, and what became of every request and every change."""

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
from modelport_faults.changes import KNOWN, KNOWN_KEY, NOT_YET, User, outcome
from modelport_faults.scenarios import Scenario, Setting
from modelport_faults.strikes import holds, set_clocks

from modelport_testing.echo_provider import start_echo_provider
from modelport_testing.gateways import GatewayProcess
from modelport_testing.journeys import GATEWAY
from modelport_testing.polling import eventually
from modelport_testing.raw_client import build_json, exchange
from modelport_testing.traffic import Failure, Traffic, known_routes
from modelport_testing.whole import Whole, start_whole

COLD = 16
"""Providers that exist and that nobody has asked for when the fault begins."""
COLD_INTERVAL_S = 0.1


@dataclass
class Outcome:
    """What a scenario came to."""

    name: str
    title: str
    held_s: float
    """From the first harm to the end of the fault."""
    answered: int = 0
    """Requests on known routes that were answered well."""
    failed: list[Failure] = field(default_factory=list)
    """Those that were not, but for clients of the gateway that it happened to."""
    broken: int = 0
    """Requests of those clients that were not answered well."""
    struck: list[Failure] = field(default_factory=list)
    """The first of them."""
    longest_s: float = 0
    """The longest a plain request took at a gateway that it did not happen to."""
    cold: Counter[str] = field(default_factory=Counter)
    """How requests for providers nobody had asked for were answered."""
    tried: int = 0
    """Changes begun while it lasted."""
    changes: Counter[str] = field(default_factory=Counter)
    """How they were answered, if they were."""
    arrivals_s: list[float] = field(default_factory=list)
    unarrived: int = 0
    changes_again_s: float = 0
    """From the end of the fault until a change was taken and all gateways acted on it."""
    settled_s: float = 0
    """From the end of the fault until all gateways acted on the truth in all things."""
    lost: str = ""
    """What was not as it should be in the end."""
    missing: list[str] = field(default_factory=list)
    """What /status of a gateway said was not ready while it lasted."""
    lines: dict[str, list[str]] = field(default_factory=dict)
    """What our processes logged meanwhile, each kind of line once."""

    @property
    def false_404(self) -> int:
        """How often something that exists was said not to."""
        known = sum(failure.status == 404 for failure in self.failed)
        return known + sum(count for said, count in self.cold.items() if said.startswith("404"))

    @property
    def is_good(self) -> bool:
        """Nothing failed, nothing was lost."""
        return not self.failed and not self.false_404 and not self.lost

    def __str__(self) -> str:
        said = [f"{self.name}: {self.answered} answered, {len(self.failed)} failed, {self.false_404} false 404"]
        said += [f"broken at the struck gateway {self.broken}, longest {self.longest_s:.2f} s"]
        said += [f"cold {dict(self.cold)}, changes {dict(self.changes)}"]
        said += [f"arrivals {[round(one, 3) for one in self.arrivals_s]}, {self.unarrived} not at once"]
        said += [f"changes again after {self.changes_again_s:.2f} s, settled after {self.settled_s:.2f} s"]
        said += [f"status {self.missing}"]
        said += [f"struck: {failure}" for failure in self.struck]
        said += [f"{failure}" for failure in self.failed[:5]] + ([f"LOST {self.lost}"] if self.lost else [])
        return "\n  ".join(said)


def to_json(outcome: Outcome) -> dict[str, Any]:
    """Return what is kept of an outcome; the rest is for whoever watches the run."""
    kept = {name: value for name, value in vars(outcome).items() if name not in ("lines", "struck")}
    return kept | {"failed": [asdict(one) for one in outcome.failed]}


def from_json(kept: dict[str, Any]) -> Outcome:
    """Return the outcome that was kept."""
    outcome = Outcome(**kept)
    outcome.failed = [Failure(**one) for one in kept["failed"]]
    outcome.cold, outcome.changes = Counter(kept["cold"]), Counter(kept["changes"])
    return outcome


@dataclass
class Stage:
    """A platform with its provider and its user, for one scenario after the other."""

    whole: Whole
    user: User
    rows: int = 0


@contextlib.contextmanager
def stage(folder: Path, setting: Setting, clock_file: Path) -> Iterator[Stage]:
    """Run a platform as a setting wants it."""
    with contextlib.ExitStack() as stack:
        provider = stack.enter_context(start_echo_provider())
        environment = {}
        if setting == "clock":
            set_clocks(clock_file, 0)
            environment = _movable_clock(clock_file.parent, clock_file)
            stack.enter_context(_inherited(environment))
        database = "postgresql" if setting == "postgresql" else "sqlite"
        whole = stack.enter_context(
            start_whole(folder, database=database, small_disk=setting == "sqlite", environment=environment)
        )
        user = User(whole.url, provider)
        asyncio.run(user.prepare())
        yield Stage(whole, user)


async def play(on: Stage, scenario: Scenario, hold_s: float, interval_s: float = 0.25) -> Outcome:
    """Run one scenario. What it finds wrong is in the outcome; it raises only where the fault could not be done."""
    whole, user = on.whole, on.user
    on.rows += 1
    gateways = whole.gateways
    # Where every gateway is away once there is the edge alone to ask, and no moment at which all have a change.
    survivors = [gateway for gateway in gateways if gateway.name not in scenario.struck and not scenario.edge]
    asked = [whole.url] if scenario.edge else [gateway.url for gateway in survivors]
    routes = known_routes(KNOWN, KNOWN, f"/serve/{KNOWN}", KNOWN_KEY)
    cold = [f"cold-{on.rows}-{number}" for number in range(COLD)]
    await user.make_cold(cold)
    await eventually(lambda: all(holds(whole, name) for name in cold), 20)
    await user.settled(gateways, 20)
    if scenario.edge:
        targets = {"edge": lambda: whole.edge.port}
    else:
        targets = {gateway.name: (lambda gateway=gateway: gateway.port) for gateway in gateways}  # type: ignore[misc]
    before = {name: len(text) for name, text in whole.logs().items()}
    result = Outcome(scenario.name, scenario.title, 0)
    async with Traffic(targets, routes) as traffic:
        await eventually(lambda: all(traffic.answered[target] >= 8 for target in targets), 20)
        changing = asyncio.ensure_future(user.go_on(interval_s, survivors))
        strangers = asyncio.ensure_future(_ask_cold(cold, asked, result.cold))
        try:
            strike = scenario.strike(whole)
            begun, tried = time.monotonic(), user.tried
            await asyncio.to_thread(strike.__enter__)
            try:
                await asyncio.sleep(hold_s / 2)
                result.missing = await _missing(asked[-1])
                await asyncio.sleep(hold_s / 2)
                result.changes, result.arrivals_s = user.answers.copy(), [*user.arrivals_s]
                result.unarrived, result.tried = user.unarrived, user.tried - tried
            finally:
                await asyncio.to_thread(strike.__exit__, None, None, None)
            ended = time.monotonic()
            result.held_s = ended - begun
        finally:
            await _cancelled(changing)
        try:
            await _changes_work(user, gateways, scenario.settle_s)
            result.changes_again_s = time.monotonic() - ended
            await user.settled(gateways, scenario.settle_s)
            result.settled_s = time.monotonic() - ended
        except AssertionError as error:
            result.lost = str(error)
        await asyncio.sleep(0.5)
        await _cancelled(strangers)
        await traffic.stop()
    result.answered = sum(traffic.answered.values())
    result.failed = [failure for failure in traffic.failures if failure.target not in scenario.struck]
    struck = [failure for failure in traffic.failures if failure.target in scenario.struck]
    result.broken, result.struck = len(struck), struck[:3]
    result.longest_s = max(length for name, length in traffic.longest_s.items() if name not in scenario.struck)
    result.lines = {name: _kinds(text[before[name] :]) for name, text in whole.logs().items()}
    if not result.lost:
        await user.remove(cold)
        await user.forget()
    return result


async def _changes_work(user: User, gateways: Sequence[GatewayProcess], timeout_s: float) -> None:
    async def done() -> bool:
        return await user.move() and await eventually(lambda: user.arrived(gateways), 5, ignoring=NOT_YET)

    await eventually(done, timeout_s, ignoring=NOT_YET)


async def _ask_cold(names: Sequence[str], urls: Sequence[str], seen: Counter[str]) -> None:
    """Ask gateways for what nobody has asked for yet, one after the other."""
    while True:
        for position, name in enumerate(names):
            try:
                path = f"{GATEWAY}/default/provider/{name}/-/x"
                reply = await asyncio.wait_for(exchange(urls[position % len(urls)], build_json(path, b"{}")), 30)
            except NOT_YET as error:
                seen[type(error).__name__] += 1
            else:
                seen[outcome(reply)] += 1
            await asyncio.sleep(COLD_INTERVAL_S)


async def _missing(url: str) -> list[str]:
    try:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            status = (await client.get(f"{url}/status")).json()
    except httpx.HTTPError as error:
        return [f"/status: {type(error).__name__}"]
    return [f"{one['name']}: {one['message']}" for one in status["services"]["not_ready"]]


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _kinds(text: str) -> list[str]:
    """Return the warnings and errors in a log, each kind once, as it first came."""
    kinds: dict[str, str] = {}
    for line in text.splitlines():
        plain = re.sub(r"\x1b\[[\d;]*m", "", line)
        if re.search(r"\b(warning|error|critical)\b", plain[:60], re.IGNORECASE):
            kinds.setdefault(re.sub(r"\d+", "#", plain)[:90], plain[:300])
    return list(kinds.values())[:20]


def _movable_clock(folder: Path, offset: Path) -> dict[str, str]:
    """Build the library that moves clocks, and return the environment that puts it into a process."""
    compiler = shutil.which("cc")
    assert compiler is not None, "a C compiler is missing: apt-get install gcc libc6-dev (Debian)"
    library = folder / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source], check=True, timeout=60)
    return {"LD_PRELOAD": str(library), "CLOCK_OFFSET_FILE": str(offset)}


@contextlib.contextmanager
def _inherited(environment: dict[str, str]) -> Iterator[None]:
    """Have servers that are started meanwhile inherit an environment."""
    os.environ.update(environment)
    try:
        yield
    finally:
        for name in environment:
            del os.environ[name]

"""The load in the background, as a process of its own, so that its work does not delay what is measured."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelport_testing.traffic import Traffic, known_routes

PLAIN, STREAMS, PAUSE_S = 5, 10, 0.03
"""Of each gateway."""


@dataclass
class Background:
    """What it came to, once it has ended."""

    requests_s: float = 0
    failures: int = 0


@contextlib.contextmanager
def background(ports: Sequence[int], provider: str, key: str) -> Iterator[Background]:
    """Load gateways with requests for a provider, and the model and the base path `/serve/` of the same name."""
    found = Background()
    command = [sys.executable, "-P", "-m", "modelport_propagation.load", provider, key, *map(str, ports)]
    folders = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "support")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
    try:
        yield found
        said, _ = process.communicate("", 40)
        found.requests_s, found.failures = json.loads(said)
    finally:
        process.kill()
        process.communicate()


async def _run(provider: str, key: str, ports: Sequence[int]) -> None:
    targets: dict[str, Callable[[], int]] = {str(port): (lambda port=port: port) for port in ports}  # type: ignore[misc]
    routes = known_routes(provider, provider, f"/serve/{provider}", key)
    begun = time.monotonic()
    async with Traffic(targets, routes, PLAIN, STREAMS, PAUSE_S) as traffic:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        lasted_s = time.monotonic() - begun
        count = sum(traffic.answered.values())
        await traffic.stop()
    print(json.dumps([round(count / lasted_s), len(traffic.failures)]))


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], sys.argv[2], [int(port) for port in sys.argv[3:]]))

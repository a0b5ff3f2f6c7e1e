"""Several gateway processes behind one port: does throughput grow with the cores?"""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from modelport_bench import platform, rounds
from modelport_bench.figures import Cell
from modelport_bench.rounds import Target
from modelport_bench.workload import MAIN, NGINX, OPENAI_ROUTE, PROVIDER_ROUTE, ROUTES, Case
from modelport_testing.stack import LocalStack

CASES = (MAIN, Case(256, main=True))


def steps(most: int) -> Sequence[int]:
    """Return the numbers of gateways to try: 1, 2, 4 and so on up to `most`, and `most` itself."""
    found = [1]
    while found[-1] < most:
        found.append(min(found[-1] * 2, most))
    return found


def measure(
    folder: Path,
    most: int,
    upstreams: tuple[str, str],
    proxy: Target,
    count: int,
    tell: Callable[[str], None],
) -> dict[int, list[Cell]]:
    """Load stacks of one gateway and more in turn. `upstreams`: the addresses of the provider and of the streams."""
    targets = {(0, NGINX): proxy}
    with contextlib.ExitStack() as running:
        for number in steps(most):
            own = folder / f"gateways-{number}"
            own.mkdir()
            stack = LocalStack(own / "data", own / "console.txt", gateways=number)
            running.enter_context(platform.running(stack))
            platform.register(stack, *upstreams)
            pids = tuple(platform.gateway_pids(stack))
            for route in (PROVIDER_ROUTE, OPENAI_ROUTE):
                targets[number, route] = Target(f"{stack.base_url}{ROUTES[route]}", pids)
        names = {f"{number} {route}": (number, route) for number, route in targets}
        named = {name: targets[key] for name, key in names.items()}
        cells = rounds.measure(folder, named, CASES, count, (2, 2), lambda what: tell(f"gateways, {what}"))
    found: dict[int, list[Cell]] = {}
    for cell in cells:
        number, route = names[cell.target]
        found.setdefault(number, []).append(Cell(cell.case, route, cell.samples))
    return found

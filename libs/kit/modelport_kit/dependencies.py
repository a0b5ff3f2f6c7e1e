"""What a process depends on, looked at every few seconds: for metrics and the log, not for readiness or liveness."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import httpx
import structlog

logger = structlog.get_logger(__name__)

LOOK_EVERY_S = 5.0
PATIENCE_S = 2.0
"""What takes longer to answer counts as away."""
Check = Callable[[], Awaitable[bool]]


class Dependencies:
    """Looks at each dependency by its check, which returns whether it is there; one that raises says no."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = dict(checks)
        self.up: dict[str, bool] = {}
        """As last looked at."""

    async def run(self, looked: Callable[[], None] = lambda: None) -> None:
        """Look for ever; `looked` is called each time."""
        while True:
            await self.look()
            looked()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Look at all of them once, at the same time."""
        await asyncio.gather(*(self._look_at(name, check) for name, check in self._checks.items()))

    async def _look_at(self, name: str, check: Check) -> None:
        reason = "it says no"
        try:
            async with asyncio.timeout(PATIENCE_S):
                is_up = await check()
        except Exception as error:
            is_up, reason = False, type(error).__name__
        if not is_up and self.up.get(name, True):
            logger.warning("a dependency is away", dependency=name, reason=reason)
        elif is_up and not self.up.get(name, True):
            logger.info("a dependency is back", dependency=name)
        self.up[name] = is_up


def answers(client: httpx.AsyncClient) -> Check:
    """Make the check of a service: its health page answers. Whether it is ready is its own affair."""

    async def check() -> bool:
        return (await client.get("/health/live")).is_success

    return check


def stands(connected: Callable[[], bool]) -> Check:
    """Make the check of a connection that others keep."""

    async def check() -> bool:
        return connected()

    return check

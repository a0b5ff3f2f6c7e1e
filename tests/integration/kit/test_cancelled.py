"""A transaction that is cancelled leaves no lock behind."""

import asyncio

from sqlalchemy import func, select

from modelport_kit.database.engine import Database
from modelport_kit.database.tables import OUTBOX, REVISION

ATTEMPTS = 150
STEP_S = 0.00005


async def test_whoever_writes_next_does_not_wait(database: Database) -> None:
    """Not even while the cancellation's traceback is kept, and with it the cursor of a statement."""

    async def look() -> None:
        async with database.write() as write:
            await write.execute(select(func.max(OUTBOX.c.revision)))
            await write.execute(select(REVISION.c.incarnation))

    await look()
    kept: list[BaseException | None] = []
    for attempt in range(ATTEMPTS):
        looking = asyncio.create_task(look())
        await asyncio.sleep(attempt * STEP_S)
        looking.cancel()
        kept += await asyncio.gather(looking, return_exceptions=True)
        async with asyncio.timeout(2):
            await look()
    assert any(isinstance(one, asyncio.CancelledError) for one in kept)

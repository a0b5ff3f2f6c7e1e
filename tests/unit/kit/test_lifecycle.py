"""Background loops: whatever happens in one, it runs again and the others run on."""

import asyncio

import structlog

from modelport_kit.lifecycle import BackgroundLoops
from modelport_testing.polling import eventually


async def test_a_loop_that_fails_or_ends_is_started_again() -> None:
    runs = {"fails": 0, "ends": 0, "steady": 0}

    async def fails() -> None:
        runs["fails"] += 1
        raise RuntimeError("broken")

    async def ends() -> None:
        runs["ends"] += 1

    async def steady() -> None:
        runs["steady"] += 1
        await asyncio.Event().wait()

    loops = BackgroundLoops()
    for name, loop in (("fails", fails), ("ends", ends), ("steady", steady)):
        loops.add(name, loop)
    with structlog.testing.capture_logs() as logs:
        loops.start()
        await eventually(lambda: runs["fails"] >= 3 and runs["ends"] >= 3)
        await loops.stop()
    assert runs["steady"] == 1
    assert loops.failures["fails"] >= 3
    assert (loops.failures["ends"], loops.failures["steady"]) == (0, 0)
    assert {entry["loop"] for entry in logs} == {"fails", "ends"}
    before = dict(runs)
    await asyncio.sleep(0.2)
    assert runs == before, "nothing runs after stop"

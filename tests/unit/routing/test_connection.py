"""When a connection to Redis counts as cut: nothing came, and something should have."""

import asyncio
from typing import Any

from modelport_routing.connection import TIMEOUT_S, Connection
from modelport_testing.polling import eventually

PUSH = b">2\r\n+invalidate\r\n*1\r\n$1\r\na\r\n"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Wire(asyncio.Transport):
    """Takes everything and brings nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def write(self, data: Any) -> None: ...

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


async def test_a_reply_far_down_a_queue_that_moves_is_waited_for() -> None:
    clock, wire = Clock(), Wire()
    pushes: list[Any] = []
    connection = Connection(pushes.append)
    connection._clock = clock
    connection.connection_made(wire)
    asked = asyncio.create_task(connection.call("GET", "a"))
    await eventually(lambda: repr(connection).endswith("1 replies awaited>"))
    for _ in range(5):
        clock.now += 0.9 * TIMEOUT_S
        connection.data_received(PUSH)
        connection.check()
        assert not wire.aborted
    connection.data_received(b"$1\r\nx\r\n")
    assert await asked == b"x"
    assert len(pushes) == 5


async def test_silence_ends_it() -> None:
    clock, wire = Clock(), Wire()
    connection = Connection(lambda _: None)
    connection._clock = clock
    connection.connection_made(wire)
    lost: list[Any] = []
    connection.send(lost.append, "GET", "a")
    connection.data_received(PUSH)
    cut = []
    for seconds in (0.9, 0.2):
        clock.now += seconds * TIMEOUT_S
        connection.check()
        cut.append(wire.aborted)
    assert cut == [False, True]
    assert [type(one).__name__ for one in lost] == ["ConnectionLostError"]

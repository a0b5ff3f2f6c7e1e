"""Background loops, which run again whatever happens in one, and listening sockets, emptied before they close."""

import asyncio
import socket
from typing import cast

import structlog
import uvloop

from modelport_kit.lifecycle import BackgroundLoops, accept_all
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


def test_what_the_kernel_has_accepted_is_accepted_before_the_socket_closes() -> None:
    uvloop.run(close_before_clients_were_accepted())  # the loop that services run on


async def close_before_clients_were_accepted() -> None:
    lost = 0

    class Greeting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            cast(asyncio.Transport, transport).write(b"hello")  # uvloop's is one in all but inheritance
            transport.close()

        def connection_lost(self, exc: Exception | None) -> None:
            nonlocal lost
            lost += 1

    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    server = await asyncio.get_running_loop().create_server(Greeting, sock=listener)
    # They are connected before the loop has had a turn.
    clients = [socket.create_connection(listener.getsockname(), timeout=5) for _ in range(20)]
    await accept_all([listener])
    server.close()
    listener.close()
    for client in clients:
        assert await asyncio.to_thread(client.recv, 5) == b"hello"
        client.close()
    await eventually(lambda: lost == len(clients))

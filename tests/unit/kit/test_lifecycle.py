"""Background loops, which run again whatever happens in one, and listening sockets, emptied before they close."""

import asyncio
import os
import signal
import socket
from typing import Any, cast

import httpx
import pytest
import structlog
import uvicorn
import uvloop

from modelport_kit import dependencies as dependencies_module
from modelport_kit.dependencies import Dependencies, stands
from modelport_kit.lifecycle import BackgroundLoops, HeldSockets, accept_all, restart_delay_s, serve
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


def test_pauses_between_starts_grow() -> None:
    assert [round(restart_delay_s(failures, 1.0), 2) for failures in (0, 1, 2, 6, 7, 50)] == [0.05, 0.1, 0.2, 3.2, 5, 5]
    assert restart_delay_s(3, 0.0) == restart_delay_s(3, 1.0) / 2


async def test_a_loop_whose_dependency_is_away_grows_old_and_recovers() -> None:
    now, is_there = 0.0, True

    async def loop() -> None:
        while True:
            if not is_there:
                raise ConnectionError("away")
            succeeded()
            await asyncio.sleep(0.001)

    loops = BackgroundLoops(clock=lambda: now)
    succeeded = loops.succeeds("loop")
    loops.add("loop", loop)
    loops.start()
    now = 5.0
    await eventually(lambda: loops.ages_s() == {"loop": 0.0})
    is_there = False
    await eventually(lambda: loops.failures["loop"] >= 2)
    now = 65.0
    assert loops.ages_s() == {"loop": 60.0}
    is_there = True
    await eventually(lambda: loops.ages_s() == {"loop": 0.0}, 20)
    await loops.stop()


async def test_dependencies_are_looked_at_and_told_of_once() -> None:
    up = {"nats": True, "models": True}

    async def models() -> bool:
        if not up["models"]:
            raise ConnectionError("refused")
        return True

    dependencies = Dependencies({"nats": stands(lambda: up["nats"]), "models": models})
    with structlog.testing.capture_logs() as logs:
        for state in ({}, {"models": False}, {}, {"nats": False}, {"nats": True, "models": True}):
            up |= state
            await dependencies.look()
            assert dependencies.up == up
    assert [(entry["log_level"], entry["dependency"]) for entry in logs] == [
        ("warning", "models"),
        ("warning", "nats"),
        ("info", "nats"),
        ("info", "models"),
    ]


async def test_a_dependency_that_hangs_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies_module, "PATIENCE_S", 0.05)

    async def hangs() -> bool:
        await asyncio.Event().wait()
        return True

    dependencies = Dependencies({"models": hangs})
    await dependencies.look()
    assert dependencies.up == {"models": False}


async def test_a_held_socket_is_accepted_from_when_its_time_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then connections wait for whoever else listens there."""
    may_open = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    async def until() -> None:
        await may_open.wait()

    # uvicorn raises the signal again when it has ended
    monkeypatch.setattr(signal, "raise_signal", lambda _number: None)
    own, shared = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    urls = ["http://{}:{}/".format(*listener.getsockname()) for listener in (own, shared)]
    server = asyncio.create_task(
        serve(uvicorn.Config(app, log_config=None, lifespan="off"), [own], held=HeldSockets([shared], until))
    )
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(urls[0])).status_code == 204
        waiting = asyncio.create_task(client.get(urls[1]))
        assert (await client.get(urls[0])).status_code == 204
        assert not waiting.done()
        may_open.set()
        assert (await waiting).status_code == 204
    os.kill(os.getpid(), signal.SIGTERM)
    await server
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(urls[1].rpartition(":")[2].strip("/"))))


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

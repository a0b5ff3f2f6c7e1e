"""A gateway that is told to leave, under load: what it has begun to read is served (docs/dataplane.md, Ends)."""

import asyncio
import signal
import socket
import time

import pytest

from modelport_testing.gateways import Fleet, GatewayProcess
from modelport_testing.load import Load, serve_load
from modelport_testing.polling import eventually
from modelport_testing.raw_client import RawClient, build_request, exchange
from modelport_testing.scripted_upstream import OK, Answering, RawRequest, ScriptedUpstream

READY = build_request("GET", "/health/ready", "Connection: close")
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


async def ended(gateway: GatewayProcess, timeout_s: float = 30) -> int:
    return await asyncio.to_thread(gateway.wait, timeout_s)


@pytest.mark.parametrize("lame_duck_s", [1.0, 0.0])
async def test_nothing_fails_but_connections_to_nobody(fleet: Fleet, lame_duck_s: float) -> None:
    gateway = fleet.add({"MODELPORT_LAME_DUCK_S": str(lame_duck_s)})
    async with ScriptedUpstream(serve_load) as upstream:
        route = fleet.register(f"loaded-{lame_duck_s:.0f}", upstream.url)
        async with Load(lambda: gateway.port, route) as load:
            load.start()
            await eventually(lambda: len(load.answered) == 4 and load.answered["kept"] > 100, 20)
            asked_at = time.monotonic()
            gateway.terminate()
            if lame_duck_s:
                await eventually(lambda: not gateway.is_ready(), 10)
            await ended(gateway)
            await load.stop()
    # Only from here on may a client find nobody: its connection is refused, or ends with the socket it waited at.
    closed_at = asked_at + lame_duck_s
    assert [
        failure
        for failure in load.failures
        if not (failure.at >= closed_at and failure.is_fresh and failure.stage in ("connect", "unanswered"))
    ] == []
    assert any(failure.stage == "connect" for failure in load.failures), "the load went on to the end"


async def test_while_it_leaves_it_says_so_and_serves(fleet: Fleet) -> None:
    gateway = fleet.add({"MODELPORT_LAME_DUCK_S": "5"})
    async with ScriptedUpstream() as upstream:
        route = fleet.register("lame-duck", upstream.url)
        async with await RawClient.connect(gateway.url) as client, await RawClient.connect(gateway.url) as other:
            for connection in (client, other):
                await connection.send(build_request("GET", "/health/live"))
                assert (await connection.read_response()).value("connection") is None
            gateway.terminate()
            await eventually(lambda: not gateway.is_ready(), 10)
            # Inference, the platform's own paths, new connections: all are served, and told to go elsewhere.
            await client.send(build_request("GET", route + "x"))
            await other.send(build_request("GET", "/health/live"))
            fresh = await exchange(gateway.url, build_request("GET", route + "x"))
            for response in (await client.read_response(), await other.read_response(), fresh):
                assert (response.status, response.value("connection")) == (200, b"close")
            assert (await exchange(gateway.url, READY)).status == 503
            assert await client.read_to_end() == await other.read_to_end() == b""
    gateway.terminate(signal.SIGKILL)
    await ended(gateway)


async def test_what_waits_in_the_sockets_buffer_is_served(fleet: Fleet) -> None:
    gateway = fleet.add({"MODELPORT_LAME_DUCK_S": "0"})
    async with ScriptedUpstream() as upstream:
        route = fleet.register("unread", upstream.url)
        clients = [await RawClient.connect(gateway.url) for _ in range(20)]
        for client in clients[10:]:
            await client.send(build_request("GET", route + "x"))
            assert (await client.read_response()).status == 200
        gateway.pause()
        # Ten that never asked, ten that have been answered, ten that the kernel alone has accepted.
        clients += [await RawClient.connect(gateway.url) for _ in range(10)]
        for client in clients:
            await client.send(build_request("GET", route + "x"))
        gateway.terminate()
        gateway.resume()
        for client in clients:
            assert (await client.read_response()).status == 200
            await client.close()
        await ended(gateway)


async def endless(_: RawRequest, answering: Answering) -> None:
    await answering.send(STREAM_HEAD)
    await answering.send_chunk(b"data: 1\n\n")
    await answering.client_closed(60)
    answering.close()


async def test_what_outlives_the_grace_time_is_told(fleet: Fleet) -> None:
    gateway = fleet.add({"MODELPORT_LAME_DUCK_S": "0", "MODELPORT_SHUTDOWN_GRACE_S": "1"})

    async def script(request: RawRequest, answering: Answering) -> None:
        if request.target == b"/stream":
            await endless(request, answering)
        else:
            await answering.client_closed(60)
            answering.close()

    async with ScriptedUpstream(script) as upstream:
        route = fleet.register("outlives", upstream.url)
        async with await RawClient.connect(gateway.url) as stream, await RawClient.connect(gateway.url) as plain:
            await stream.send(build_request("GET", route + "stream"))
            await stream.read_head()
            assert await stream.read_chunk() == b"data: 1\n\n"
            await plain.send(build_request("GET", route + "plain"))
            await eventually(lambda: len(upstream.requests) == 2)
            gateway.terminate()
            event = await stream.read_chunk(30)
            assert event.startswith(b"event: error\ndata: ")
            assert b'"code":"draining"' in event
            assert await stream.read_to_end() == b""
            response = await plain.read_response(timeout_s=30)
            assert (response.status, response.value("retry-after")) == (503, b"1")
            assert b'"code":"draining"' in response.body
        await ended(gateway)


@pytest.mark.parametrize("first", ["lame duck", "grace"])
async def test_a_second_signal_ends_all_waiting(fleet: Fleet, first: str) -> None:
    gateway = fleet.add(
        {"MODELPORT_LAME_DUCK_S": "60" if first == "lame duck" else "0", "MODELPORT_SHUTDOWN_GRACE_S": "60"}
    )
    async with ScriptedUpstream(endless) as upstream:
        route = fleet.register(f"hurry-{first[0]}", upstream.url)
        async with await RawClient.connect(gateway.url) as stream:
            await stream.send(build_request("GET", route))
            await stream.read_head()
            assert await stream.read_chunk() == b"data: 1\n\n"
            gateway.terminate()
            # One wish, sent to a process and to its group, as `timeout` and terminals do.
            gateway.terminate()
            with pytest.raises(TimeoutError):
                await stream.read_chunk(1.5)
            gateway.terminate(signal.SIGINT)
            assert b'"code":"draining"' in await stream.read_to_end(30)
        await ended(gateway)


async def test_a_request_that_comes_while_it_leaves_is_served_though_it_was_idle(fleet: Fleet) -> None:
    """The reply before it said nothing of closing; a client may ask again at once."""
    gateway = fleet.add({"MODELPORT_LAME_DUCK_S": "0"})
    begun, finish = asyncio.Event(), asyncio.Event()

    async def script(request: RawRequest, answering: Answering) -> None:
        if request.target == b"/first":
            await answering.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")
            begun.set()
            await finish.wait()
            await answering.send(b"lf")
        else:
            await answering.send(OK)

    async with ScriptedUpstream(script) as upstream:
        route = fleet.register("idle", upstream.url)
        async with await RawClient.connect(gateway.url) as client:
            await client.send(build_request("GET", route + "first"))
            await asyncio.wait_for(begun.wait(), 10)
            head = await client.read_head()
            assert b"onnection: close" not in head
            gateway.terminate()
            await eventually(lambda: not _listens(gateway.port), 10)
            finish.set()
            assert await client.reader.readexactly(4) == b"half"
            await client.send(build_request("GET", route + "second"))
            response = await client.read_response()
            assert (response.status, response.value("connection")) == (200, b"close")
        await ended(gateway)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

"""Publishing and consuming on a real NATS server, through everything that happens to one."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from modelport_bus import Bus, BusAwayError, BusRefusedError, Gate, Handler
from modelport_contracts.events import ALL_CHANGES, ROUTE_SYNC_CONSUMER, STREAM, subjects_of_kind
from modelport_contracts.records import Change, Envelope, Operation
from modelport_testing.polling import eventually
from modelport_testing.running import free_port
from modelport_testing.servers import NatsServer, start_nats


def change(key: str = "provider/default/openai", revision: int = 1, *, operation: Operation = "put") -> Change:
    envelope = Envelope(key=key, source="models", incarnation="one", revision=revision, operation=operation)
    return Change(envelope=envelope, payload=b'{"a":1}\n{"not":"a line"}' if operation == "put" else b"")


class Received:
    """A handler that keeps what it was given, and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.changes: list[Change] = []
        self.calls = 0
        self.failures = failures
        self.at_once = 0
        self._running = 0

    async def __call__(self, received: Change) -> None:
        self.calls += 1
        self._running += 1
        self.at_once = max(self.at_once, self._running)
        try:
            await asyncio.sleep(0)
            if self.failures > 0:
                self.failures -= 1
                raise RuntimeError("cannot handle it now")
            self.changes.append(received)
        finally:
            self._running -= 1

    def revisions(self) -> set[int]:
        return {received.envelope.revision for received in self.changes}


@contextlib.asynccontextmanager
async def consuming(
    bus: Bus, handler: Handler, *, subject: str = ALL_CHANGES, gate: Gate | None = None
) -> AsyncIterator[None]:
    task = asyncio.create_task(bus.consume(ROUTE_SYNC_CONSUMER, subject, handler, gate=gate))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_change_arrives_byte_for_byte(bus: Bus) -> None:
    received = Received()
    sent = change("provider/default/gpt-3.5..turbo@x+y", 7)
    async with consuming(bus, received):
        await bus.publish(sent)
        await eventually(lambda: received.changes == [sent])
    assert bus.counts.published == bus.counts.handled == 1


async def test_it_is_delivered_in_milliseconds(bus: Bus) -> None:
    arrived = asyncio.Event()

    async def handler(_: Change) -> None:
        arrived.set()

    delays: list[float] = []
    async with consuming(bus, handler):
        await bus.publish(change(revision=0))
        await asyncio.wait_for(arrived.wait(), 5)
        for revision in range(1, 41):
            arrived.clear()
            started = time.perf_counter()
            await bus.publish(change(revision=revision))
            await asyncio.wait_for(arrived.wait(), 5)
            delays.append(time.perf_counter() - started)
    assert sorted(delays)[len(delays) // 2] < 0.05


async def test_what_was_published_before_anyone_consumed_arrives(bus: Bus) -> None:
    received = Received()
    for revision in range(1, 101):
        await bus.publish(change(f"model/default/m-{revision}", revision))
    async with consuming(bus, received):
        await eventually(lambda: received.revisions() == set(range(1, 101)))
    assert received.at_once > 1, "messages that arrive together are handled concurrently"


async def test_consumers_of_one_name_share_the_messages(bus: Bus, nats_server: NatsServer) -> None:
    mine, theirs = Received(), Received()
    async with Bus(nats_server.url, name="other") as other:
        await other.wait_connected()
        async with consuming(bus, mine), consuming(other, theirs):
            for revision in range(1, 201):
                await bus.publish(change(f"model/default/m-{revision}", revision))
            await eventually(lambda: mine.revisions() | theirs.revisions() == set(range(1, 201)))
    assert mine.calls + theirs.calls == 200


async def test_a_filter_takes_only_its_kind(bus: Bus) -> None:
    received = Received()
    async with consuming(bus, received, subject=subjects_of_kind("models", "workspace")):
        await bus.publish(change("provider/default/openai", 1))
        await bus.publish(change("workspace/team/team", 2, operation="delete"))
        await eventually(lambda: received.revisions() == {2})


async def test_a_failed_message_comes_again(bus: Bus) -> None:
    received = Received(failures=3)
    async with consuming(bus, received):
        await bus.publish(change(revision=5))
        await eventually(lambda: received.revisions() == {5})
    assert bus.counts.failed == 3
    assert received.calls == 4


async def test_poison_is_dropped_and_counted_and_the_rest_goes_on(
    bus: Bus, nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    received = Received()
    client = await nats.connect(nats_server.url)
    try:
        async with consuming(bus, received):
            await bus.publish(change(revision=1))
            for poison in (b"", b"no envelope line", b'{"key":"x"}\npayload', b"\xff\xfe\n"):
                await client.jetstream().publish("modelport.v1.models.provider.a.b", poison)
            await bus.publish(change(revision=2))
            await eventually(lambda: received.revisions() == {1, 2} and bus.counts.poisoned == 4)
            await eventually(lambda: _settled(client))
    finally:
        await client.close()
    assert bus.counts.poisoned == 4
    assert "unreadable" in caplog.text


async def _settled(client: Client) -> bool:
    info = await client.jetstream().consumer_info(STREAM, ROUTE_SYNC_CONSUMER)
    return (info.num_ack_pending, info.num_pending) == (0, 0)


async def test_nothing_is_pulled_while_the_gate_is_shut(bus: Bus, nats_server: NatsServer) -> None:
    received, opened, asked = Received(), asyncio.Event(), asyncio.Event()

    async def gate() -> None:
        asked.set()
        await opened.wait()

    client = await nats.connect(nats_server.url)
    try:
        async with consuming(bus, received, gate=gate):
            await bus.publish(change(revision=1))
            await asyncio.wait_for(asked.wait(), 5)
            end = time.monotonic() + 0.4
            while time.monotonic() < end:
                info = await client.jetstream().consumer_info(STREAM, ROUTE_SYNC_CONSUMER)
                assert (info.delivered.consumer_seq, info.num_waiting) == (0, 0)
            opened.set()
            await eventually(lambda: received.revisions() == {1})
    finally:
        await client.close()


@pytest.mark.parametrize("lost", ["stream", "consumer"])
async def test_a_deleted_stream_or_consumer_comes_back(bus: Bus, nats_server: NatsServer, lost: str) -> None:
    received = Received()
    client = await nats.connect(nats_server.url)
    try:
        async with consuming(bus, received):
            await bus.publish(change(revision=1))
            await eventually(lambda: received.revisions() == {1})
            if lost == "stream":
                await client.jetstream().delete_stream(STREAM)
            else:
                await client.jetstream().delete_consumer(STREAM, ROUTE_SYNC_CONSUMER)
            await bus.publish(change("provider/default/second", 2))
            await eventually(lambda: 2 in received.revisions(), timeout=10)
    finally:
        await client.close()


@pytest.mark.parametrize("how", ["restart", "wipe", "kill"])
async def test_a_restarted_server_is_used_again(bus: Bus, nats_server: NatsServer, how: str) -> None:
    received = Received()
    async with consuming(bus, received):
        await bus.publish(change(revision=1))
        await eventually(lambda: received.revisions() == {1})
        if how == "kill":
            await asyncio.to_thread(nats_server.kill)
            await eventually(lambda: not bus.connected)
            started = time.monotonic()
            with pytest.raises(BusAwayError):
                await bus.publish(change(revision=2))
            assert time.monotonic() - started < 1, "a lost connection is known at once"
            await asyncio.to_thread(nats_server.start)
        else:
            await asyncio.to_thread(nats_server.restart if how == "restart" else nats_server.wipe)
        await eventually(lambda: _published(bus, change("provider/default/second", 3)), timeout=10)
        await eventually(lambda: 3 in received.revisions(), timeout=10)


async def _published(bus: Bus, sent: Change) -> bool:
    try:
        await bus.publish(sent)
    except BusAwayError:
        return False
    return True


async def test_start_does_not_wait_for_the_server(tmp_path: Path) -> None:
    port = free_port()
    started = time.monotonic()
    async with Bus(f"nats://127.0.0.1:{port}", name="early") as bus:
        assert time.monotonic() - started < 0.5
        with pytest.raises(BusAwayError):
            await bus.publish(change())
        received = Received()
        async with consuming(bus, received):
            server = await asyncio.to_thread(lambda: start_nats(tmp_path, port=port))
            with server:
                await asyncio.wait_for(bus.wait_connected(), 5)
                await eventually(lambda: _published(bus, change(revision=4)))
                await eventually(lambda: received.revisions() == {4})


async def test_something_else_on_the_port_does_not_end_the_connecting(tmp_path: Path) -> None:
    """A greeting that is no NATS server's makes the client fail in ways of its own; it is tried again all the same."""
    greeted = asyncio.Event()

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INFO []\r\n")
        with contextlib.suppress(OSError):
            await writer.drain()
        greeted.set()
        writer.close()

    port = free_port()
    other = await asyncio.start_server(greet, "127.0.0.1", port)
    async with Bus(f"nats://127.0.0.1:{port}", name="early") as bus:
        await asyncio.wait_for(greeted.wait(), 5)
        other.close()
        await other.wait_closed()
        with await asyncio.to_thread(lambda: start_nats(tmp_path, port=port)):
            await asyncio.wait_for(bus.wait_connected(), 10)


async def test_a_silent_server_is_noticed(bus: Bus, nats_server: NatsServer) -> None:
    nats_server.pause()
    try:
        with pytest.raises(BusAwayError):
            await bus.publish(change())
        await eventually(lambda: not bus.connected, timeout=15)
    finally:
        nats_server.resume()
    await eventually(lambda: _published(bus, change()), timeout=10)


async def test_a_message_the_server_refuses_is_told_apart(bus: Bus) -> None:
    with pytest.raises(BusRefusedError, match="provider/default/big"):
        await bus.publish(change("provider/default/big").model_copy(update={"payload": b"x" * 2_000_000}))
    await bus.publish(change())


async def test_a_missing_consumer_is_no_hot_loop(bus: Bus, nats_server: NatsServer) -> None:
    """The stream vanishes again and again; the consumer makes it anew, with growing pauses between."""
    received = Received()
    client = await nats.connect(nats_server.url)
    made_anew = 0
    try:
        async with consuming(bus, received):
            await bus.publish(change(revision=1))
            await eventually(lambda: received.revisions() == {1})
            deadline = time.monotonic() + 2
            while time.monotonic() < deadline:
                with contextlib.suppress(nats.js.errors.NotFoundError):
                    await client.jetstream().delete_stream(STREAM)
                    made_anew += 1
                await asyncio.sleep(0.01)
        assert made_anew < 20
    finally:
        await client.close()


async def test_who_does_not_keep_the_stream_waits_for_who_does(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    received = Received()
    async with Bus(nats_server.url, name="guest", keeps_stream=False) as guest, consuming(guest, received):
        await guest.wait_connected()
        sending = asyncio.create_task(guest.publish(change(revision=1)))
        await eventually(lambda: "waits for the stream" in caplog.text)
        assert not sending.done()
        assert await guest.newest("models") is None, "nobody made the stream"
        async with Bus(nats_server.url, name="keeper") as keeper:
            await keeper.wait_connected()
            await keeper.publish(change(revision=2))
            await sending
            await eventually(lambda: received.revisions() == {1, 2})
    assert caplog.text.count("waits for the stream") == 1


async def test_a_stream_that_does_not_come_is_an_away_bus(nats_server: NatsServer) -> None:
    async with Bus(nats_server.url, name="guest", keeps_stream=False) as guest:
        await guest.wait_connected()
        with pytest.raises(BusAwayError, match="JetStream is not available"):
            await guest.publish(change())

"""Which writes leave at once, which together, and that none overtakes another."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from modelport_gateway.parse.framing import Body
from modelport_gateway.send.connection import UpstreamConnection
from modelport_gateway.send.cork import FEW, SMALL, Cork
from modelport_gateway.send.reply import ReplyHead


def _nothing() -> None: ...


class Wire:
    """A transport that notes what is written, and in which order over all of them."""

    def __init__(self, log: list[tuple[str, bytes]], name: str) -> None:
        self._log = log
        self._name = name
        self.closed = False
        self.on_write: Callable[[], None] = _nothing

    def write(self, data: bytes) -> None:
        self._log.append((self._name, data))
        self.on_write()

    def is_closing(self) -> bool:
        return self.closed


class End:
    """A connection."""

    def __init__(self, log: list[tuple[str, bytes]], name: str) -> None:
        self.wire = Wire(log, name)
        self.transport: asyncio.Transport = self.wire  # type: ignore[assignment]  # what a cork needs of one
        self.is_written = False


def parts(under_way: int) -> tuple[Cork, list[tuple[str, bytes]], End, End]:
    log: list[tuple[str, bytes]] = []
    return Cork(range(under_way)), log, End(log, "a"), End(log, "b")


async def test_few_requests_are_written_at_once() -> None:
    cork, log, a, _ = parts(FEW)
    cork.write(a, b"1")
    assert (log, a.is_written) == ([("a", b"1")], True)


async def test_many_leave_together_at_the_end_of_the_turn() -> None:
    cork, log, a, b = parts(FEW + 1)
    for connection, data in ((a, b"1"), (b, b"2"), (a, b"3")):
        cork.write(connection, data)
    assert (log, a.is_written) == ([], False)
    await asyncio.sleep(0)
    assert (log, a.is_written) == ([("a", b"1"), ("b", b"2"), ("a", b"3")], True)
    cork.write(b, b"4")
    await asyncio.sleep(0)
    assert log[3:] == [("b", b"4")], "each turn anew"


async def test_what_is_large_leaves_at_once_behind_what_waits() -> None:
    cork, log, a, b = parts(FEW + 1)
    large = b"x" * (SMALL + 1)
    cork.write(b, large)
    cork.write(a, b"1")
    cork.write(a, large)
    assert log == [("b", large), ("a", b"1"), ("a", large)]
    await asyncio.sleep(0)
    assert len(log) == 3


async def test_a_write_never_overtakes_one_that_waits() -> None:
    """Also where the requests under way have become few meanwhile."""
    active = set(range(FEW + 1))
    log: list[tuple[str, bytes]] = []
    cork, a = Cork(active), End(log, "a")
    cork.write(a, b"1")
    active.clear()
    cork.write(a, b"2")
    cork.flush()
    assert log == [("a", b"1"), ("a", b"2")]


async def test_flushing_from_within_a_flush_keeps_the_order() -> None:
    cork, log, a, b = parts(FEW + 1)
    for connection, data in ((a, b"1"), (b, b"2"), (a, b"3")):
        cork.write(connection, data)
    a.wire.on_write = cork.flush
    cork.flush()
    assert log == [("a", b"1"), ("b", b"2"), ("a", b"3")]


async def test_what_has_closed_meanwhile_is_not_written_to() -> None:
    cork, log, a, b = parts(FEW + 1)
    cork.write(a, b"1")
    cork.write(b, b"2")
    a.wire.closed = True
    await asyncio.sleep(0)
    assert log == [("b", b"2")]
    assert (a.is_written, b.is_written) == (False, True)


async def test_what_waits_is_bounded() -> None:
    cork, log, a, _ = parts(FEW + 1)
    for number in range(1000):
        cork.write(a, b"%d" % number)
        assert number - len(log) < 256
    cork.flush()
    assert log == [("a", b"%d" % number) for number in range(1000)]


class Owner:
    """A pool that only corks."""

    def __init__(self, under_way: int) -> None:
        self.cork = Cork(range(under_way))
        self.released = 0

    def release(self, _: UpstreamConnection) -> None:
        self.released += 1

    def forget(self, _: UpstreamConnection) -> None: ...


class Receiver:
    """Who waits for the reply."""

    method = b"POST"

    def __init__(self) -> None:
        self.closed: list[tuple[bool, bool]] = []
        self.replied = False

    def reply_begins(self, _reply: ReplyHead, _body: Body) -> bytes:
        self.replied = True
        return b""

    def connection_closed(self, reused: bool, written: bool) -> None:
        self.closed.append((reused, written))

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


async def connect(ours: socket.socket, owner: Owner) -> UpstreamConnection:
    ours.setblocking(False)
    connection = UpstreamConnection(ours, owner, 0.0)
    await asyncio.get_running_loop().create_connection(lambda: connection, sock=ours)
    return connection


async def test_what_comes_before_a_request_has_left_is_no_reply_to_it(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """A provider's farewell to an idle connection, for example; the request may be sent again, whatever it is."""
    owner, receiver = Owner(FEW + 1), Receiver()
    connection = await connect(pair[0], owner)
    connection.begin(receiver, b"POST / HTTP/1.1\r\n\r\n", request_is_open=False)
    connection.data_received(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    assert (receiver.closed, receiver.replied, owner.released) == ([(False, False)], False, 0)
    await asyncio.sleep(0.01)
    assert pair[1].recv(100) == b"", "nothing of the request left"


async def test_what_comes_afterwards_is(pair: tuple[socket.socket, socket.socket]) -> None:
    owner, receiver = Owner(FEW + 1), Receiver()
    connection = await connect(pair[0], owner)
    connection.begin(receiver, b"POST / HTTP/1.1\r\n\r\n", request_is_open=False)
    owner.cork.flush()
    connection.data_received(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (receiver.closed, receiver.replied, owner.released) == ([], True, 1)
    connection.discard()

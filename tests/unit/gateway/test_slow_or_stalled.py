"""Who takes what is buffered, however slowly, is not stalled. Over sockets the kernel's buffers would decide when."""

import pytest

from modelport_gateway.account.access_log import AccessLog
from modelport_gateway.account.clock import Clock
from modelport_gateway.account.metrics import DataPlaneMetrics
from modelport_gateway.admit.admission import Limits
from modelport_gateway.admit.timeouts import Timeouts
from modelport_gateway.parse.head import parse_request_head
from modelport_gateway.parse.path import PROVIDER, Call, RouteName
from modelport_gateway.relay.context import Context
from modelport_gateway.relay.exchange import Exchange
from modelport_gateway.send.reply import parse_reply_head


class Reader:
    """A client at the other end of an exchange; `unsent` is what it has not taken."""

    def __init__(self) -> None:
        self.unsent = 0
        self.cuts = 0

    def write(self, data: bytes) -> None:
        self.unsent += len(data)

    def pause_body(self) -> None: ...

    def resume_body(self) -> None: ...

    def exchange_ended(self, *, keep_alive: bool) -> None: ...

    def abort(self) -> None:
        self.cuts += 1


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def exchange(reader: Reader) -> Exchange:
    """An exchange in the midst of a reply that its client holds up, with an idle timeout of 10 s."""
    context = Context(
        Clock(lambda: 1000.0),
        AccessLog(lambda _: None),
        Timeouts(idle_s=10),
        Limits(),
        (),
        lambda _exchange, _data: None,
        DataPlaneMetrics(),
    )
    head = parse_request_head(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n", 10)
    call = Call(RouteName(PROVIDER, "ws", "p", b"/p"), b"x", b"")
    made = Exchange(reader, context, head, call, b"")
    reply = parse_reply_head(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    made.relay(made.reply_begins(reply, reply.body(b"GET")), b"x" * 90_000, False)
    made.write_paused()
    return made


def test_a_slow_reader_is_not_cut_off(exchange: Exchange, reader: Reader) -> None:
    now = 1000.0
    for _ in range(50):
        now += 9
        reader.unsent -= 1
        exchange.check_time(now)
        assert reader.cuts == 0
    exchange.check_time(now + 9.9)
    assert reader.cuts == 0
    exchange.check_time(now + 10.1)
    assert reader.cuts == 1
    assert exchange.error_code == "client_stalled"


def test_a_stalled_reader_is_cut_off(exchange: Exchange, reader: Reader) -> None:
    exchange.check_time(1000.1)
    exchange.check_time(1009.9)
    assert reader.cuts == 0
    exchange.check_time(1010.2)
    assert reader.cuts == 1

"""Which requests are sent once more when the provider closes before it replies (docs/dataplane.md, pool)."""

import pytest

from modelport_gateway.account.access_log import AccessLog
from modelport_gateway.account.clock import Clock
from modelport_gateway.account.metrics import DataPlaneMetrics
from modelport_gateway.admit.admission import Limits
from modelport_gateway.admit.timeouts import Timeouts
from modelport_gateway.parse.head import parse_request_head
from modelport_gateway.parse.path import PROVIDER, Call, RouteName
from modelport_gateway.relay.context import Context
from modelport_gateway.relay.exchange import MAX_REPLAY, Exchange


class Client:
    unsent = 0

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_body(self) -> None: ...

    def resume_body(self) -> None: ...

    def exchange_ended(self, *, keep_alive: bool) -> None: ...

    def abort(self) -> None: ...


class Upstream:
    def begin(self, _exchange: Exchange, _data: bytes, *, request_is_open: bool) -> None: ...


@pytest.mark.parametrize(
    ("method", "reused", "written", "size", "repeated"),
    [
        (b"GET", True, True, 10, True),
        (b"GET", False, True, 10, False),
        (b"POST", True, True, 10, False),
        (b"POST", True, False, 10, True),
        (b"POST", False, False, 10, False),
        (b"POST", True, False, MAX_REPLAY + 1, False),
    ],
)
def test_what_may_have_been_processed_is_not_repeated(
    method: bytes, reused: bool, written: bool, size: int, repeated: bool
) -> None:
    again: list[bytes] = []
    context = Context(
        Clock(lambda: 1000.0),
        AccessLog(lambda _: None),
        Timeouts(),
        Limits(),
        (),
        lambda _, data: again.append(data),
        DataPlaneMetrics(),
    )
    head = parse_request_head(method + b" /x HTTP/1.1\r\nHost: x\r\n\r\n", 10)
    client, data = Client(), b"x" * size
    exchange = Exchange(client, context, head, Call(RouteName(PROVIDER, "ws", "p", b"/p"), b"x", b""), b"")
    exchange.send(Upstream(), data)  # type: ignore[arg-type]  # all that is asked of it here
    exchange.connection_closed(reused, written)
    assert again == ([data] if repeated else [])
    assert (b" 502 " in client.written) is not repeated
    exchange.connection_closed(reused, written)
    assert b" 502 " in client.written, "once at the most"
    assert len(again) <= 1

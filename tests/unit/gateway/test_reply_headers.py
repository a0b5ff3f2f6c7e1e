import json

import pytest

from modelport_gateway.errors import BehindError, MethodRefusedError, UpstreamProtocolError
from modelport_gateway.parse.framing import BodyUntilClose, ChunkedBody, CountedBody, NoBody
from modelport_gateway.relay.event_stream import boundary_for
from modelport_gateway.relay.replies import error_event, error_reply, provider_reply
from modelport_gateway.send.reply import ReplyHead, keep_alive_timeout, parse_reply_head


def parse(*lines: str, status: str = "200 OK", version: str = "1.1") -> ReplyHead:
    text = "\r\n".join([f"HTTP/{version} {status}", *lines, "", ""])
    return parse_reply_head(text.encode("latin-1"))


@pytest.mark.parametrize(
    "name",
    [
        "Set-Cookie",
        "Alt-Svc",
        "Strict-Transport-Security",
        "Public-Key-Pins",
        "NEL",
        "Report-To",
        "Reporting-Endpoints",
        "Clear-Site-Data",
        "Proxy-Authenticate",
        "X-Accel-Buffering",
        "X-Sendfile",
        "x-modelport-error-origin",
        "Trailer",
        "Upgrade",
    ],
)
def test_what_is_scoped_to_the_provider_is_dropped(name: str) -> None:
    assert parse(f"{name}: v", "Server: theirs", "WWW-Authenticate: Bearer", "X-Request-Id: r").lines == [
        b"Server: theirs",
        b"WWW-Authenticate: Bearer",
        b"X-Request-Id: r",
    ]


@pytest.mark.parametrize(
    ("reply", "method", "framing"),
    [
        (parse("Content-Length: 5"), b"GET", CountedBody),
        (parse("Transfer-Encoding: Chunked"), b"GET", ChunkedBody),
        (parse(), b"GET", BodyUntilClose),
        (parse("Content-Length: 5"), b"HEAD", NoBody),
        (parse(), b"HEAD", NoBody),
        (parse("Content-Length: 5", status="304 N"), b"GET", NoBody),
        (parse(status="204 N"), b"GET", NoBody),
        (parse(status="103 Early Hints"), b"GET", NoBody),
    ],
)
def test_how_a_reply_ends(reply: ReplyHead, method: bytes, framing: type) -> None:
    assert type(reply.body(method)) is framing


def test_whether_the_connection_may_stay() -> None:
    assert parse("Content-Length: 0").keep_alive
    assert not parse("Content-Length: 0", "Connection: Close").keep_alive
    assert not parse("Content-Length: 0", version="1.0").keep_alive
    assert parse("Content-Length: 0", "Connection: keep-alive", version="1.0").keep_alive


def test_what_connection_names_is_dropped_but_not_the_length() -> None:
    reply = parse("Connection: X-Hop, Content-Length", "X-Hop: 1", "Content-Length: 3")
    assert reply.lines == [b"Content-Length: 3"]


@pytest.mark.parametrize(
    ("value", "seconds"), [(b"timeout=5", 5), (b"max=9, Timeout = 30", 30), (b"timeout=x", None), (b"", None)]
)
def test_the_announced_idle_time(value: bytes, seconds: int | None) -> None:
    assert keep_alive_timeout(value) == seconds


@pytest.mark.parametrize(
    "status_line",
    ["HTTP/1.1 99 X", "HTTP/1.1 2000 X", "HTTP/2.0 200 X", "HTTP/1.1", "HTTQ/1.1 200 OK", "HTTP/1.1 2x0 OK"],
)
def test_broken_status_lines(status_line: str) -> None:
    with pytest.raises(UpstreamProtocolError):
        parse_reply_head(f"{status_line}\r\nContent-Length: 0\r\n\r\n".encode())


def test_the_head_for_the_client() -> None:
    reply = parse("A: 1", "Date: today", status="503 Nope")
    head = provider_reply(reply, request_id=b"r", date_line=b"Date: now", chunked=True, close=True, own_lines=[b"O: 1"])
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 503 Nope",
        b"A: 1",
        b"Date: today",
        b"x-modelport-request-id: r",
        b"O: 1",
        b"x-modelport-error-origin: upstream",
        b"Transfer-Encoding: chunked",
        b"Connection: close",
        b"",
        b"",
    ]


def test_an_error_of_our_own() -> None:
    reply = error_reply(BehindError("not yet é"), request_id=b"r", date_line=b"Date: now", close=False)
    head, _, body = reply.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 503 Service Unavailable"
    for line in (
        b"x-request-id: r",
        b"x-modelport-request-id: r",
        b"x-modelport-error-origin: gateway",
        b"Retry-After: 1",
    ):
        assert line in lines
    assert b"Content-Length: %d" % len(body) in lines
    assert json.loads(body) == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "not yet é", "code": "behind", "param": None},
        "detail": "not yet é",
    }
    refused = error_reply(MethodRefusedError("no"), request_id=b"r", date_line=b"D: n", close=True, without_body=True)
    assert b"allow: GET" in refused
    assert refused.endswith(b"\r\n\r\n")


def test_the_error_event_is_one_event() -> None:
    event = error_event(BehindError("a\nb"))
    assert event.count(b"\n") == 3
    assert event.endswith(b"\n\n")


@pytest.mark.parametrize(
    ("payloads", "between"),
    [
        ([], True),
        ([b"data: x\n\n"], True),
        ([b"data: x\r\n", b"\r\n"], True),
        ([b"data: x\n", b"\n"], True),
        ([b"data: x\r\r"], True),
        ([b"data: x\n\n", b"d"], False),
        ([b"data: x\n"], False),
        ([b"\n"], True),
    ],
)
def test_the_boundary(payloads: list[bytes], between: bool) -> None:
    boundary = boundary_for(parse("Content-Type: text/event-stream; charset=utf-8"))
    assert boundary is not None
    for payload in payloads:
        boundary.passed(payload)
    assert boundary.is_between_events is between


def test_only_plain_event_streams_have_a_boundary() -> None:
    assert boundary_for(parse("Content-Type: text/event-stream", "Content-Encoding: identity")) is not None
    assert boundary_for(parse("Content-Type: text/event-stream", "Content-Encoding: gzip")) is None
    assert boundary_for(parse("Content-Type: application/json")) is None

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport_contracts.records import ProviderRecord
from modelport_gateway.errors import (
    EgressRefusedError,
    ExpectationError,
    GatewayError,
    MalformedError,
    NotImplementedHereError,
    SecretUnusableError,
)
from modelport_gateway.parse.head import RequestHead, parse_request_head
from modelport_gateway.prepare.request import CHUNKED_FRAMING, length_framing, request_head
from modelport_gateway.prepare.target import Target

LOOP = b"CDN-Loop: modelport-x"
DROPPED = [
    "Authorization",
    "Proxy-Authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "ocp-apim-subscription-key",
    "cookie",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "HTTP2-Settings",
    "Forwarded",
    "X-Forwarded-For",
    "X-FORWARDED-HOST",
    "x-real-ip",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X-NMP-Principal",
    "x-modelport-service-token",
    "Upgrade",
]
KEPT = [
    "User-Agent",
    "anthropic-beta",
    "OpenAI-Organization",
    "traceparent",
    "Accept-Encoding",
    "Via",
    "X-Request-Id",
    "X_y",
]


def parse(*lines: str, method: str = "GET", version: str = "1.1") -> RequestHead:
    text = "\r\n".join([f"{method} /x HTTP/{version}", *lines, "", ""])
    return parse_request_head(text.encode("latin-1"), 200)


def target(**changes: object) -> Target:
    fields: dict[str, object] = {
        "id": "p",
        "workspace": "ww",
        "name": "pp",
        "host_url": "https://api.test/v1",
        "status": "READY",
        "generation": 1,
    }
    return Target(ProviderRecord.model_validate(fields | changes), LOOP)


def sent(head: RequestHead, to: Target) -> list[bytes]:
    block = request_head(head, to, b"/p", b"?q", b"")
    assert block.endswith(b"\r\n\r\n")
    return block[:-4].split(b"\r\n")


@pytest.mark.parametrize("name", DROPPED)
def test_dropped_headers(name: str) -> None:
    assert parse("Host: x", f"{name}: v").lines == []


@given(st.lists(st.tuples(st.sampled_from(KEPT + DROPPED), st.text("ab ,;=", max_size=6)), max_size=12))
def test_kept_lines_stay_whole_and_in_order(pairs: list[tuple[str, str]]) -> None:
    lines = [f"{name}:  {value}" for name, value in pairs if name != "Upgrade"]
    head = parse("Host: x", *lines)
    assert head.lines == [line.encode() for line in lines if line.partition(":")[0] in KEPT]
    assert sent(head, target()) == [b"GET /p?q HTTP/1.1", b"Host: api.test", *head.lines, LOOP]


def test_what_connection_names_is_dropped_and_close_is_heeded() -> None:
    head = parse("Host: x", "X-Hop: 1", "X-Stays: 2", "Connection: X-HOP , close", "Connection: foo", "Foo: 3")
    assert head.lines == [b"X-Stays: 2"]
    assert not head.keep_alive
    assert parse("Host: x").keep_alive
    assert not parse(version="1.0").keep_alive


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        ((), MalformedError),
        (("Host: a", "host: b"), MalformedError),
        (("Host: a", "Transfer-Encoding: gzip"), NotImplementedHereError),
        (("Host: a", "Transfer-Encoding: chunked, chunked"), NotImplementedHereError),
        (("Host: a", "Transfer-Encoding: \x0bchunked"), NotImplementedHereError),
        (("Host: a", "Transfer-Encoding: chunked", "Content-Length: 3"), MalformedError),
        (("Host: a", "Content-Length: 3", "Content-Length: 3"), MalformedError),
        (("Host: a", "Content-Length: " + "9" * 30), MalformedError),
        (("Host: a", "Content-Length: \xb2"), MalformedError),
        (("Host: a", "Expect: 200-ok"), ExpectationError),
        (("Host: a", "no colon"), MalformedError),
    ],
)
def test_heads_that_are_refused(lines: tuple[str, ...], cause: type[GatewayError]) -> None:
    with pytest.raises(cause):
        parse(*lines, method="POST")


def test_an_upgrade_is_no_framing() -> None:
    head = parse("Host: x", "Connection: upgrade", "Upgrade: h2c", "Content-Length: 5", method="POST")
    assert (head.content_length, head.lines, head.wants_websocket) == (5, [], False)
    assert parse("Host: x", "Upgrade: foo, WebSocket").wants_websocket


def test_extra_headers() -> None:
    to = target(default_extra_headers={"A-Default": "d", "Both": "d"}, required_extra_headers={"both": "r", "R": "r"})
    assert sent(parse("Host: x", "BOTH: client", "K: 1"), to)[2:] == [
        b"K: 1",
        b"A-Default: d",
        b"both: r",
        b"R: r",
        LOOP,
    ]
    assert sent(parse("Host: x", "a-default: mine"), to)[2:] == [b"a-default: mine", b"both: r", b"R: r", LOOP]


def test_the_credential() -> None:
    to = target(api_key_secret_name="key", auth_header_format="X-Key: a{{ auth_secret }}b")
    assert to.secret_key == "secret/ww/key"
    assert to.secret_version == -1
    to.set_secret("S", 3)
    assert sent(parse("Host: x", "x-KEY: mine", "Y: 1"), to)[2:] == [b"Y: 1", b"X-Key: aSb", LOOP]
    assert "S" not in repr(to).replace("<Target", "")
    to.drop_secret()
    assert sent(parse("Host: x"), to)[2:] == [LOOP]
    for bad in ("a\nb", "a\x00", "a\x7f"):
        with pytest.raises(SecretUnusableError) as caught:
            to.set_secret(bad, 4)
        assert bad not in str(caught.value)
    assert to.secret_version == -1


def test_a_host_that_is_none() -> None:
    for host_url in ("ftp://x", "file:///etc/passwd", "http://"):
        with pytest.raises(EgressRefusedError):
            target(host_url=host_url)


def test_framing() -> None:
    assert length_framing(parse("Host: x"), 0) == b""
    assert length_framing(parse("Host: x", method="POST"), 0) == b"Content-Length: 0\r\n"
    assert length_framing(parse("Host: x", "Content-Length: 0"), 0) == b"Content-Length: 0\r\n"
    assert length_framing(parse("Host: x"), 7) == b"Content-Length: 7\r\n"
    assert request_head(parse("Host: x"), target(), b"/", b"", CHUNKED_FRAMING).endswith(b"chunked\r\n\r\n")

"""Replies of a hostile provider: refused, or relayed in a form that all clients read alike, and never mixed up."""

import asyncio
import json

import pytest

from modelport_testing.gateway_harness import BASE, Gateway
from modelport_testing.http_parsers import REPLY_READERS, Message, UnreadableError, read_replies
from modelport_testing.raw_client import RawClient, build_request
from modelport_testing.scripted_upstream import Answering, RawRequest, ScriptedUpstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTE = f"{BASE}/provider/openai/-/"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

REFUSED: list[tuple[str, bytes]] = [
    ("CL.TE", OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO),
    ("TE.CL", OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + HELLO),
    ("CL twice, equal", OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    ("CL twice, different", OK + b"Content-Length: 5\r\nContent-Length: 9\r\n\r\nhello"),
    *(
        (f"CL {value!r}", OK + b"Content-Length: " + value + b"\r\n\r\nhello")
        for value in (
            b"5, 5",
            b"5,9",
            b"+5",
            b"-5",
            b"0x5",
            b"5_0",
            b"5 5",
            b"\xb2",
            b"",
            b"5\x00",
            b"00000000000000000005",
            b"18446744073709551615",
            b"99999999999999999999999",
        )
    ),
    ("TE twice", OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO),
    *(
        (f"TE {value!r}", OK + b"Transfer-Encoding: " + value + b"\r\n\r\n" + HELLO)
        for value in (
            b"identity",
            b"gzip",
            b"gzip, chunked",
            b"chunked, chunked",
            b"xchunked",
            b"chunked,",
            b"\x0bchunked",
        )
    ),
    ("bare LF throughout", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello\r\n\r\n"),
    ("bare LF in the head", OK + b"X: y\nContent-Length: 5\r\n\r\nhello"),
    ("bare CR in the head", OK + b"X: y\rContent-Length: 5\r\n\r\nhello"),
    ("obs-fold", OK + b"X: y\r\n z\r\nContent-Length: 5\r\n\r\nhello"),
    ("space before a colon", OK + b"Content-Length : 5\r\n\r\nhello"),
    ("no colon", OK + b"X\r\nContent-Length: 5\r\n\r\nhello"),
    ("no name", OK + b": x\r\nContent-Length: 5\r\n\r\nhello"),
    ("NUL in a value", OK + b"X: \0\r\nContent-Length: 5\r\n\r\nhello"),
    ("control character in a value", OK + b"X: \x01\r\nContent-Length: 5\r\n\r\nhello"),
    ("non-ASCII in a name", OK + b"X\xe9: y\r\nContent-Length: 5\r\n\r\nhello"),
    ("NUL in the reason", b"HTTP/1.1 200 O\0K\r\nContent-Length: 5\r\n\r\nhello"),
    ("control character in the reason", b"HTTP/1.1 200 O\x1bK\r\nContent-Length: 5\r\n\r\nhello"),
    ("DEL in the reason", b"HTTP/1.1 200 O\x7fK\r\nContent-Length: 5\r\n\r\nhello"),
    ("bare CR in the reason", b"HTTP/1.1 200 O\rK\r\nContent-Length: 5\r\n\r\nhello"),
    *(
        (f"status line {line!r}", line + b"\r\nContent-Length: 5\r\n\r\nhello")
        for line in (
            b"HTTP/1.1 000 X",
            b"HTTP/1.1 099 X",
            b"HTTP/1.1 20 X",
            b"HTTP/1.1 2000 X",
            b"HTTP/1.1 200OK",
            b"HTTP/1.1 +20 X",
            b"HTTP/1.1  200 OK",
            b"HTTP/1.1\t200 OK",
            b"HTTP/1.1",
            b"HTTP/1.1 200,200 OK",
            b"http/1.1 200 OK",
            b"HTTP/0.9 200 OK",
            b"HTTP/1.2 200 OK",
            b"HTTP/1.10 200 OK",
            b"HTTP/2 200",
            b"HTTP/2.0 200 OK",
            b"RTSP/1.0 200 OK",
            b"ICY 200 OK",
            b" HTTP/1.1 200 OK",
            b"",
        )
    ),
    ("a status below 100 without a body", b"HTTP/1.1 099 X\r\n\r\n"),
    ("status 000 without a body", b"HTTP/1.1 000 X\r\n\r\n"),
    ("no HTTP at all", b"SSH-2.0-OpenSSH\r\n\r\n"),
    ("a request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("switched protocols", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"),
    ("switched protocols, plainly", b"HTTP/1.1 101 X\r\n\r\n"),
    ("a body behind 100", b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello" + EVIL),
    ("a huge head", OK + b"X: " + b"x" * 70_000 + b"\r\n\r\n"),
    ("a huge head of many fields", OK + b"X: y\r\n" * 20_000 + b"\r\n"),
    ("a huge head behind an interim one", b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"X: " + b"x" * 70_000 + b"\r\n\r\n"),
    ("interim replies without end", b"HTTP/1.1 102 Processing\r\n\r\n" * 10_000 + OK + b"Content-Length: 0\r\n\r\n"),
    ("interim replies of great size", (b"HTTP/1.1 103 X\r\nLink: " + b"x" * 9000 + b"\r\n\r\n") * 8 + OK + b"\r\n\r\n"),
]

BROKEN_CHUNKS: list[tuple[str, bytes]] = [
    ("0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    ("minus", b"-5\r\nhello\r\n0\r\n\r\n"),
    ("space behind", b"5 \r\nhello\r\n0\r\n\r\n"),
    ("underscore", b"0_5\r\nhello\r\n0\r\n\r\n"),
    ("no digit", b"\r\nhello\r\n0\r\n\r\n"),
    ("overflow", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("bare LF after the size", b"5\nhello\r\n0\r\n\r\n"),
    ("bare LF after the data", b"5\r\nhello\n0\r\n\r\n"),
    ("more data than said", b"5\r\nhelloXX\r\n0\r\n\r\n"),
    ("bare LF in an extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    ("endless extension", b"5;" + b"a" * 70_000 + b"\r\nhello\r\n0\r\n\r\n"),
    ("bare LF at the end", b"0\n\n"),
    ("bad trailer", b"0\r\nX : y\r\n\r\n"),
    ("Content-Length as trailer", b"0\r\nContent-Length: 9\r\n\r\n"),
    ("endless trailers", b"0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n"),
]

RELAYED: list[tuple[str, str, bytes, Message]] = [
    ("bytes behind a length", "GET", OK + b"Content-Length: 2\r\n\r\nhi", Message(b"200", b"hi")),
    ("bytes behind the last chunk", "GET", CHUNKED + HELLO, Message(b"200", b"hello")),
    ("a body behind HEAD", "HEAD", OK + b"Content-Length: 5\r\n\r\nhello", Message(b"200", b"")),
    ("chunks behind HEAD", "HEAD", CHUNKED + HELLO, Message(b"200", b"")),
    ("a body behind 204", "GET", b"HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\nhello", Message(b"204", b"")),
    ("chunks behind 204", "GET", CHUNKED.replace(b"200 OK", b"204 X") + HELLO, Message(b"204", b"")),
    ("a body behind 304", "GET", b"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\nhello", Message(b"304", b"")),
    ("chunks behind 304", "GET", CHUNKED.replace(b"200 OK", b"304 X") + HELLO, Message(b"304", b"")),
    ("chunks on HTTP/1.0", "GET", CHUNKED.replace(b"1.1", b"1.0") + HELLO, Message(b"200", b"hello")),
    (
        "chunks on HTTP/1.0 and keep-alive",
        "GET",
        CHUNKED.replace(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n") + HELLO,
        Message(b"200", b"hello"),
    ),
    (
        "Connection names the framing",
        "GET",
        OK + b"Connection: content-length, transfer-encoding\r\nContent-Length: 2\r\n\r\nhi",
        Message(b"200", b"hi"),
    ),
    ("extensions", "GET", CHUNKED + b'5;a="\\"b"\r\nhello\r\n0;x\r\n\r\n', Message(b"200", b"hello")),
    (
        "trailers",
        "GET",
        CHUNKED + b"5\r\nhello\r\n0\r\nSet-Cookie: evil\r\nX-Evil: evil\r\n\r\n",
        Message(b"200", b"hello"),
    ),
    ("obs-text in the reason", "GET", b"HTTP/1.1 200 \xe9\t\r\nContent-Length: 2\r\n\r\nhi", Message(b"200", b"hi")),
    ("an unknown status", "GET", b"HTTP/1.1 799 X\r\nContent-Length: 2\r\n\r\nhi", Message(b"799", b"hi")),
    (
        "interim replies",
        "GET",
        b"HTTP/1.1 100 X\r\n\r\nHTTP/1.1 103 X\r\nLink: </evil>\r\n\r\n" * 20 + OK + b"Content-Length: 2\r\n\r\nhi",
        Message(b"200", b"hi"),
    ),
    (
        "a body that looks like a reply",
        "GET",
        OK + b"Content-Length: %d\r\n\r\n" % len(EVIL.replace(b"evil", b"good")) + EVIL.replace(b"evil", b"good"),
        Message(b"200", EVIL.replace(b"evil", b"good")),
    ),
]


class Hostile:
    """Answers the first request as told, with another reply behind it, and all others well."""

    def __init__(self, reply: bytes) -> None:
        self._reply = reply
        self.answered = 0

    async def script(self, _: RawRequest, answering: Answering) -> None:
        self.answered += 1
        reply = self._reply + EVIL if self.answered == 1 else OK + b"Content-Length: 4\r\n\r\ngood"
        try:
            await answering.send(reply)
        except ConnectionError:
            answering.close()


async def two_requests(gateway: Gateway, method: str) -> bytes:
    """Send a request, read its reply, send another one that is the last; return all that came."""
    async with await RawClient.connect(gateway.url) as client:
        await client.send(build_request(method, ROUTE + "x"))
        first = await client.read_response(method)
        came = first.head + (first.body if first.value("transfer-encoding") is None else _rechunked(first.body))
        await client.send(build_request("GET", ROUTE + "x", "Connection: close"))
        return came + await client.read_to_end()


def _rechunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize("reply", [row[1] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_heads_in_doubt_are_a_502(gateway: Gateway, upstream: ScriptedUpstream, reply: bytes) -> None:
    upstream.script = Hostile(reply).script
    first, second = read_replies(await two_requests(gateway, "GET"), ["GET", "GET"])
    assert (first.start, json.loads(first.body)["error"]["code"]) == (b"502", "upstream_protocol")
    assert second == Message(b"200", b"good")


@pytest.mark.parametrize("body", [body for name, body in BROKEN_CHUNKS if "endless" not in name])
async def test_chunks_in_doubt_are_a_502_while_nothing_was_sent(
    gateway: Gateway, upstream: ScriptedUpstream, body: bytes
) -> None:
    upstream.script = Hostile(CHUNKED + body).script
    first, second = read_replies(await two_requests(gateway, "GET"), ["GET", "GET"])
    assert (first.start, json.loads(first.body)["error"]["code"]) == (b"502", "upstream_protocol")
    assert second == Message(b"200", b"good")


@pytest.mark.parametrize("body", [row[1] for row in BROKEN_CHUNKS], ids=[row[0] for row in BROKEN_CHUNKS])
async def test_chunks_in_doubt_behind_good_ones_cut_the_reply(
    gateway: Gateway, upstream: ScriptedUpstream, body: bytes
) -> None:
    seen = asyncio.Event()

    async def script(_: RawRequest, answering: Answering) -> None:
        await answering.send(CHUNKED + b"4\r\ngood\r\n")
        await seen.wait()
        await answering.send(body + EVIL)

    upstream.script = script
    async with await RawClient.connect(gateway.url) as client:
        await client.send(build_request("GET", ROUTE + "x"))
        came = await client.reader.readuntil(b"good\r\n")
        seen.set()
        came += await client.read_to_end()
    assert b"evil" not in came
    for reader in REPLY_READERS:
        with pytest.raises(UnreadableError):
            reader(came, ["GET"])


@pytest.mark.parametrize(("method", "reply", "expected"), [row[1:] for row in RELAYED], ids=[row[0] for row in RELAYED])
async def test_what_is_relayed_reads_the_same_to_all(
    gateway: Gateway, upstream: ScriptedUpstream, method: str, reply: bytes, expected: Message
) -> None:
    upstream.script = Hostile(reply).script
    came = await two_requests(gateway, method)
    assert read_replies(came, [method, "GET"]) == [expected, Message(b"200", b"good")]
    assert b"evil" not in came
    assert upstream.requests[0].connection != upstream.requests[1].connection


async def test_chunks_on_http_10_end_the_connection(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    # RFC 9112, 6.1: such a message's framing is faulty, so nothing may follow it.
    reply = CHUNKED.replace(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n") + HELLO

    async def script(_: RawRequest, answering: Answering) -> None:
        await answering.send(reply)

    upstream.script = script
    assert len(read_replies(await two_requests(gateway, "GET"), ["GET", "GET"])) == 2
    assert upstream.requests[0].connection != upstream.requests[1].connection

"""Requests that two parsers could read differently are refused, or go out in a form that all of them read alike."""

import pytest

from modelport_testing.gateway_harness import BASE, Gateway
from modelport_testing.http_parsers import REQUEST_READERS, Message, UnreadableError, read_replies, read_requests
from modelport_testing.polling import eventually
from modelport_testing.raw_client import RawClient
from modelport_testing.scripted_upstream import ScriptedUpstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTE = f"{BASE}/provider/openai/-/".encode()
ASGI = b"/elsewhere/"
POST = b"POST ROUTEx HTTP/1.1\r\nHost: a\r\n"
GET = b"GET ROUTEx HTTP/1.1\r\nHost: a\r\n"
DELETE = GET.replace(b"GET", b"DELETE")
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"
INNER = b"GET ROUTEsmuggled HTTP/1.1\r\nHost: a\r\n\r\n"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"

REFUSED_HEADS: list[tuple[str, bytes, int]] = [
    ("CL.TE", POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX", 400),
    ("TE.CL", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n", 400),
    ("CL 0 and TE", POST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO, 400),
    ("TE twice", CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n" + HELLO, 400),
    ("TE twice, the second unknown", CHUNKED + b"Transfer-Encoding: x\r\n\r\n" + HELLO, 501),
    ("TE twice, the first unknown", POST + b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO, 501),
    ("TE twice, the second identity", CHUNKED + b"Transfer-encoding: identity\r\n\r\n" + HELLO, 501),
    ("TE twice, the second empty", CHUNKED + b"Transfer-Encoding:\r\n\r\n" + HELLO, 501),
    *(
        (f"TE {value!r}", POST + b"Transfer-Encoding: " + value + b"\r\n\r\n" + HELLO, 501)
        for value in (
            b"xchunked",
            b"chunkedx",
            b"chunked,",
            b",chunked",
            b"chunked, chunked",
            b"chunked, identity",
            b"identity, chunked",
            b"gzip, chunked",
            b"identity",
            b'"chunked"',
            b"'chunked'",
            b"chunked;q=1",
            b"chunked chunked",
            b"\x0bchunked",
            b"\xa0chunked",
            b"chun\x00ked",
            b"",
        )
    ),
    ("TE, tab at the end", POST + b"Transfer-Encoding: chunked\t\r\n\r\n" + HELLO, 400),
    ("TE on a second line", POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + HELLO, 501),
    ("TE, space before the colon", POST + b"Transfer-Encoding : chunked\r\n\r\n" + HELLO, 400),
    ("TE, tab before the colon", POST + b"Transfer-Encoding\t: chunked\r\n\r\n" + HELLO, 400),
    ("TE, space before the name", POST + b" Transfer-Encoding: chunked\r\n\r\n" + HELLO, 400),
    ("TE, NUL in the name", POST + b"Transfer-Encoding\0: chunked\r\n\r\n" + HELLO, 400),
    ("TE, bare CR before the name", POST + b"X: y\rTransfer-Encoding: chunked\r\n\r\n" + HELLO, 400),
    ("TE, bare LF before the name", POST + b"X: y\nTransfer-Encoding: chunked\r\n\r\n" + HELLO, 400),
    ("TE, quoted pair of lines", POST + b'X: "y\r\n\tTransfer-Encoding: chunked"\r\n\r\n' + HELLO, 400),
    ("TE on 1.0", b"POST ROUTEx HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO, 400),
    ("TE and keep-alive on 1.0", CHUNKED.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\n\r\n" + HELLO, 400),
    ("CL twice, equal", POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    ("CL twice, different", POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    *(
        (f"CL {value!r}", POST + b"Content-Length: " + value + b"\r\n\r\nhello", 400)
        for value in (
            b"5, 5",
            b"5,6",
            b"+5",
            b"-5",
            b"-0",
            b"0x5",
            b"5 5",
            b"5;",
            b"5.0",
            b"5_0",
            b"5e0",
            b'"5"',
            b"\xb2",
            b"\xef\xbc\x95",
            b"\x0b5",
            b"5\x00",
            b"",
            b"00000000000000000005",
            b"18446744073709551615",
            b"18446744073709551621",
            b"99999999999999999999999",
        )
    ),
    ("CL, space before the colon", POST + b"Content-Length : 5\r\n\r\nhello", 400),
    ("CL, folded", POST + b"Content-Length:\r\n 5\r\n\r\nhello", 400),
    ("bare LF throughout", b"GET ROUTEx HTTP/1.1\nHost: a\n\n", 400),
    ("bare LF after the request line", b"GET ROUTEx HTTP/1.1\nHost: a\r\n\r\n", 400),
    ("bare LF at the end of a line", GET + b"X: y\n\r\n", 400),
    ("bare LF for the empty line", GET + b"X: y\r\n\n", 400),
    ("bare CR in a value", GET + b"X: a\rb\r\n\r\n", 400),
    ("bare CR in the request line", b"GET ROUTEx\r HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("obs-fold", GET + b"X: a\r\n b\r\n\r\n", 400),
    ("obs-fold of the first field", b"GET ROUTEx HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n", 400),
    ("NUL in a value", GET + b"X: a\0b\r\n\r\n", 400),
    ("NUL in the target", b"GET ROUTEx\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("control character in a value", GET + b"X: a\x01b\r\n\r\n", 400),
    ("DEL in a value", GET + b"X: a\x7fb\r\n\r\n", 400),
    ("space before a colon", GET + b"X : a\r\n\r\n", 400),
    ("no name", GET + b": a\r\n\r\n", 400),
    ("no colon", GET + b"X\r\n\r\n", 400),
    ("non-ASCII in a name", GET + b"X\xe9: a\r\n\r\n", 400),
    ("parenthesis in a name", GET + b"X(: a\r\n\r\n", 400),
    ("non-ASCII in the target", b"GET ROUTEx\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("tab in the request line", b"GET\tROUTEx HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("two spaces", b"GET  ROUTEx HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("space at the end", b"GET ROUTEx HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    ("space before the method", b" GET ROUTEx HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("lower-case version", b"GET ROUTEx http/1.1\r\nHost: a\r\n\r\n", 400),
    ("HTTP/0.9", b"GET ROUTEx\r\n\r\n", 400),
    ("HTTP/1.10", b"GET ROUTEx HTTP/1.10\r\nHost: a\r\n\r\n", 505),
    ("HTTP/01.1", b"GET ROUTEx HTTP/01.1\r\nHost: a\r\n\r\n", 505),
    ("HTTP/1,1", b"GET ROUTEx HTTP/1,1\r\nHost: a\r\n\r\n", 505),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("lower-case method", b"get ROUTEx HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("no Host", b"GET ROUTEx HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", GET + b"Host: a\r\n\r\n", 400),
    ("empty lines with a bare LF", b"\r\n\n" + GET + b"\r\n", 400),
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
    ("oversized line", b"GET ROUTE" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    ("oversized head", GET + b"X: " + b"x" * 70_000 + b"\r\n\r\n", 431),
    ("oversized name", GET + b"x" * 70_000 + b": y\r\n\r\n", 431),
    ("too many fields", GET + b"X: y\r\n" * 200 + b"\r\n", 431),
]

REFUSED_TARGETS: list[tuple[str, bytes, int]] = [
    ("absolute-form", b"GET http://evil.testROUTEx HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("absolute-form of another scheme", b"GET unix:ROUTEx HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("fragment", b"GET ROUTEx#y HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("backslash", b"GET ROUTEa\\b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("quotation mark in the query", b'GET ROUTEa?"b HTTP/1.1\r\nHost: a\r\n\r\n', 400),
    ("websocket", GET + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", 501),
    ("websocket among others", GET + b"Connection: upgrade\r\nUpgrade: h2c, WebSocket\r\n\r\n", 501),
    ("CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("CONNECT with a path", b"CONNECT ROUTEx HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("TRACE", b"TRACE ROUTEx HTTP/1.1\r\nHost: a\r\n\r\n", 405),
]

REFUSED_BODIES: list[tuple[str, bytes]] = [
    ("0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    ("minus", b"-5\r\nhello\r\n0\r\n\r\n"),
    ("minus nothing", b"5\r\nhello\r\n-0\r\n\r\n"),
    ("space before", b" 5\r\nhello\r\n0\r\n\r\n"),
    ("space behind", b"5 \r\nhello\r\n0\r\n\r\n"),
    ("tab behind", b"5\t\r\nhello\r\n0\r\n\r\n"),
    ("space before the extension", b"5 ;x\r\nhello\r\n0\r\n\r\n"),
    ("underscore", b"0_5\r\nhello\r\n0\r\n\r\n"),
    ("no digit", b"\r\nhello\r\n0\r\n\r\n"),
    ("no hexadecimal", b"g\r\nhello\r\n0\r\n\r\n"),
    ("overflow to 2", b"10000000000000002\r\nhi\r\n0\r\n\r\n"),
    ("overflow to 5", b"100000000000000000000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("bare LF after the size", b"5\nhello\r\n0\r\n\r\n"),
    ("bare CR after the size", b"5\rhello\r\n0\r\n\r\n"),
    ("bare LF after the data", b"5\r\nhello\n0\r\n\r\n"),
    ("nothing after the data", b"5\r\nhello0\r\n\r\n"),
    ("more data than said", b"5\r\nhelloXX\r\n0\r\n\r\n"),
    ("less data than said", b"7\r\nhello\r\n0\r\n\r\n"),
    ("bare LF in an extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    ("bare CR in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("CRLF in a quoted extension", b'5;a="\r\nhello\r\n0\r\n\r\n"\r\n'),
    ("NUL in an extension", b"5;a\0\r\nhello\r\n0\r\n\r\n"),
    ("empty extension", b"5;\r\nhello\r\n0\r\n\r\n"),
    ("endless extension", b"5;" + b"a" * 70_000 + b"\r\nhello\r\n0\r\n\r\n"),
    ("bare LF at the end", b"5\r\nhello\r\n0\n\n"),
    ("bare LF in the trailers", b"5\r\nhello\r\n0\r\nX: y\nZ: z\r\n\r\n"),
    ("folded trailer", b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n"),
    ("trailer without colon", b"5\r\nhello\r\n0\r\nX\r\n\r\n"),
    ("trailer with a space before the colon", b"5\r\nhello\r\n0\r\nX : y\r\n\r\n"),
    ("Content-Length as trailer", b"5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n"),
    ("Transfer-Encoding as trailer", b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("endless trailers", b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n"),
]

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"

FORWARDED: list[tuple[str, bytes, list[tuple[bytes, bytes]]]] = [
    ("a body that looks like a request", POST + b"Content-Length: LEN\r\n\r\nINNER", [(b"POST x", b"INNER")]),
    ("a chunk that looks like a request", CHUNKED + b"\r\nHEX\r\nINNER\r\n0\r\n\r\n", [(b"POST x", b"INNER")]),
    ("Content-Length on GET", GET + b"Content-Length: LEN\r\n\r\nINNER", [(b"GET x", b"INNER")]),
    ("chunks on GET", GET + b"Transfer-Encoding: chunked\r\n\r\n" + HELLO, [(b"GET x", b"hello")]),
    ("Content-Length on HEAD", GET.replace(b"GET", b"HEAD") + b"Content-Length: 2\r\n\r\nhi", [(b"HEAD x", b"hi")]),
    ("Content-Length on DELETE", DELETE + b"Content-Length: 2\r\n\r\nhi", [(b"DELETE x", b"hi")]),
    ("Content-Length 0 on GET", GET + b"Content-Length: 0\r\n\r\n", [(b"GET x", b"")]),
    ("Content-Length with zeros", POST + b"Content-Length: 0005\r\n\r\nhello", [(b"POST x", b"hello")]),
    ("Content-Length between tabs", POST + b"Content-Length:\t5\t\r\n\r\nhello", [(b"POST x", b"hello")]),
    ("nineteen digits", POST + b"Content-Length: 0000000000000000005\r\n\r\nhello", [(b"POST x", b"hello")]),
    ("no length on POST", POST + b"\r\n", [(b"POST x", b"")]),
    *(
        (f"TE {value!r}", POST + b"Transfer-Encoding:" + value + b"\r\n\r\n" + HELLO, [(b"POST x", b"hello")])
        for value in (b"chunked", b" Chunked", b"\tchunked", b" cHuNkEd ", b"  CHUNKED")
    ),
    ("TE, name in another case", POST + b"tRANSFER-eNCODING: chunked\r\n\r\n" + HELLO, [(b"POST x", b"hello")]),
    (
        "TE with an underscore",
        POST + b"Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        [(b"POST x", b"0\r\n\r\n")],
    ),
    ("h2c and a length", POST + H2C + b"Content-Length: LEN\r\n\r\nINNER", [(b"POST x", b"INNER")]),
    ("h2c and chunks", CHUNKED + H2C + b"\r\nHEX\r\nINNER\r\n0\r\n\r\n", [(b"POST x", b"INNER")]),
    ("Upgrade to TLS", GET + b"Connection: upgrade\r\nUpgrade: TLS/1.0\r\n\r\n", [(b"GET x", b"")]),
    ("chunk extensions", CHUNKED + b'\r\n5;a=b;c="d;\\"e";f\r\nhello\r\n0;x=y\r\n\r\n', [(b"POST x", b"hello")]),
    ("sizes with zeros", CHUNKED + b"\r\n00000000000000000005\r\nhello\r\n000\r\n\r\n", [(b"POST x", b"hello")]),
    (
        "sizes in both cases",
        CHUNKED + b"\r\nA\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
        [(b"POST x", b"0123456789" * 2)],
    ),
    (
        "trailers that look like headers",
        CHUNKED + b"\r\n5\r\nhello\r\n0\r\nHost: evil\r\nUpgrade: websocket\r\nX-Api-Key: evil\r\nExpect: x\r\n\r\n",
        [(b"POST x", b"hello")],
    ),
    ("no chunk but the last", CHUNKED + b"\r\n0\r\n\r\n", [(b"POST x", b"")]),
    (
        "Connection names the framing",
        POST + b"Connection: content-length, host\r\nContent-Length: 5\r\n\r\nhello",
        [(b"POST x", b"hello")],
    ),
    (
        "Connection names the coding",
        CHUNKED + b"Connection: transfer-encoding\r\n\r\n" + HELLO,
        [(b"POST x", b"hello")],
    ),
    ("empty lines before", b"\r\n\r\n" + GET + b"\r\n", [(b"GET x", b"")]),
    ("names of every character", GET + b"!#$%&'*+-.^_`|~09azAZ: v\r\n\r\n", [(b"GET x", b"")]),
    ("obs-text in a value", GET + b"X: \x80\xff\xe9\r\n\r\n", [(b"GET x", b"")]),
    ("Host of another", GET.replace(b"Host: a", b"Host: evil.test:99") + b"\r\n", [(b"GET x", b"")]),
    (
        "line breaks encoded in the target",
        b"GET ROUTEx%0d%0aX:%20y HTTP/1.1\r\nHost: a\r\n\r\n",
        [(b"GET x%0d%0aX:%20y", b"")],
    ),
    (
        "line breaks encoded in a target that is decoded",
        b"GET ROUTEa%2Fb%0d%0aX:y%20HTTP HTTP/1.1\r\nHost: a\r\n\r\n",
        [(b"GET a/b%0d%0aX:y%20HTTP", b"")],
    ),
    (
        "three in one read",
        GET + b"\r\n" + POST + b"Content-Length: 2\r\n\r\nhi" + GET + b"\r\n",
        [(b"GET x", b""), (b"POST x", b"hi"), (b"GET x", b"")],
    ),
]


def spelled(data: bytes, route: bytes = ROUTE) -> bytes:
    inner = INNER.replace(b"ROUTE", route)
    data = data.replace(b"ROUTE", route).replace(b"INNER", inner)
    return data.replace(b"LEN", b"%d" % len(inner)).replace(b"HEX", b"%x" % len(inner))


def seen_by_readers(upstream: ScriptedUpstream) -> list[Message]:
    return [message for recording in upstream.recorded for message in read_requests(bytes(recording.data))]


async def expect_nothing_whole(upstream: ScriptedUpstream) -> None:
    """Nobody takes what the provider got for a request."""
    for recording in upstream.recorded:
        await eventually(lambda recording=recording: recording.is_closed, 10)  # type: ignore[misc]
        for reader in REQUEST_READERS:
            with pytest.raises(UnreadableError):
                reader(bytes(recording.data))


async def answer_to(gateway: Gateway, data: bytes) -> bytes:
    """Send it on a connection of its own and return all that comes back."""
    async with await RawClient.connect(gateway.url) as client:
        await client.send(data)
        return await client.read_to_end()


@pytest.mark.parametrize(("data", "status"), [row[1:] for row in REFUSED_HEADS], ids=[row[0] for row in REFUSED_HEADS])
async def test_heads_in_doubt_are_refused(
    gateway: Gateway, upstream: ScriptedUpstream, data: bytes, status: int
) -> None:
    for route in (ROUTE, ASGI):
        (reply,) = read_replies(await answer_to(gateway, spelled(data + INNER, route)), ["POST"])
        assert reply.start == b"%d" % status
    assert not upstream.recorded


@pytest.mark.parametrize(
    ("data", "status"), [row[1:] for row in REFUSED_TARGETS], ids=[row[0] for row in REFUSED_TARGETS]
)
async def test_targets_in_doubt_are_refused(
    gateway: Gateway, upstream: ScriptedUpstream, data: bytes, status: int
) -> None:
    (reply,) = read_replies(await answer_to(gateway, spelled(data + INNER)), ["POST"])
    assert reply.start == b"%d" % status
    assert not upstream.recorded


@pytest.mark.parametrize("body", [row[1] for row in REFUSED_BODIES], ids=[row[0] for row in REFUSED_BODIES])
async def test_chunks_in_doubt_are_refused(gateway: Gateway, upstream: ScriptedUpstream, body: bytes) -> None:
    (reply,) = read_replies(await answer_to(gateway, spelled(CHUNKED + b"\r\n" + body + INNER)), ["POST"])
    assert reply.start == b"400"
    await expect_nothing_whole(upstream)


@pytest.mark.parametrize("body", [row[1] for row in REFUSED_BODIES], ids=[row[0] for row in REFUSED_BODIES])
async def test_chunks_in_doubt_behind_good_ones_break_the_request_off(
    gateway: Gateway, upstream: ScriptedUpstream, body: bytes
) -> None:
    async with await RawClient.connect(gateway.url) as client:
        await client.send(spelled(CHUNKED + b"\r\n4\r\ngood\r\n"))
        await eventually(lambda: upstream.recorded and b"good" in upstream.recorded[0].data, 10)
        await client.send(spelled(body + INNER))
        (reply,) = read_replies(await client.read_to_end(), ["POST"])
    assert reply.start == b"400"
    assert len(upstream.recorded) == 1
    await expect_nothing_whole(upstream)


@pytest.mark.parametrize("body", [row[1] for row in REFUSED_BODIES], ids=[row[0] for row in REFUSED_BODIES])
async def test_chunks_in_doubt_are_not_answered_by_the_app(gateway: Gateway, body: bytes) -> None:
    assert b"asgi" not in await answer_to(gateway, spelled(CHUNKED + b"\r\n" + body + INNER, ASGI))


@pytest.mark.parametrize(("data", "wanted"), [row[1:] for row in FORWARDED], ids=[row[0] for row in FORWARDED])
@pytest.mark.parametrize("size", [2**20, 7])
async def test_what_is_forwarded_reads_the_same_to_all(
    gateway: Gateway, upstream: ScriptedUpstream, data: bytes, wanted: list[tuple[bytes, bytes]], size: int
) -> None:
    whole = spelled(data + b"GET ROUTEafter HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    async with await RawClient.connect(gateway.url) as client:
        for start in range(0, len(whole), size):
            await client.send(whole[start : start + size])
        answer = await client.read_to_end()
    wanted = [*wanted, (b"GET after", b"")]
    methods = [start.split(b" ")[0].decode() for start, _ in wanted]
    assert [reply.start for reply in read_replies(answer, methods)] == [b"200"] * len(methods)
    expected = [Message(start.replace(b" ", b" /v1/"), spelled(body)) for start, body in wanted]
    seen = seen_by_readers(upstream)
    assert len(seen) == len(expected)
    assert all(message in seen for message in expected)
    assert not any(b"evil" in recording.data for recording in upstream.recorded)


@pytest.mark.parametrize(
    "data",
    [
        POST + b"Content-Length: 9\r\n\r\nhello",
        CHUNKED + b"\r\n5\r\nhello\r\n",
        CHUNKED + b"\r\n5\r\nhello\r\n0\r\n",
        CHUNKED + b"\r\n9\r\nhello",
    ],
)
async def test_a_request_that_breaks_off_is_never_whole(
    gateway: Gateway, upstream: ScriptedUpstream, data: bytes
) -> None:
    async with await RawClient.connect(gateway.url) as client:
        await client.send(spelled(data))
        await eventually(lambda: upstream.recorded and b"hello" in upstream.recorded[0].data, 10)
    await expect_nothing_whole(upstream)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_nothing_behind_a_last_request_is_served(
    gateway: Gateway, upstream: ScriptedUpstream, version: bytes
) -> None:
    last = GET.replace(b"1.1", version) + b"Connection: close\r\n\r\n"
    (reply,) = read_replies(await answer_to(gateway, spelled(last + INNER)), ["GET"])
    assert reply.start == b"200"
    assert seen_by_readers(upstream) == [Message(b"GET /v1/x", b"")]

"""Replies' bodies arrive byte for byte, whatever they are, and in the pieces in which they were written."""

import asyncio
import gzip
import re

import pytest

from modelport_testing.gateway_harness import BASE, Gateway
from modelport_testing.raw_client import RawClient, build_json, build_request
from modelport_testing.scripted_upstream import Answering, RawRequest, ScriptedUpstream, reply_with

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTE = f"{BASE}/provider/openai/-/x"
ROUTES = [
    build_request("GET", ROUTE),
    build_json(f"{BASE}/model/gpt-4/-/x", b'{"stream":true}'),
    build_json(f"{BASE}/openai/-/x", b'{"model":"gpt-4"}'),
]
TEXT = b'{"choices":[{"message":{"role":"assistant","content":"hello hello hello"}}]}\n' * 20
# Neither compressor is part of what Modelport needs, so their outputs for `hello` stand here.
COMPRESSED = {
    "gzip": gzip.compress(TEXT, mtime=0),
    "br": b"\x0b\x02\x80hello\x03",
    "zstd": b"(\xb5/\xfd\x04X)\x00\x00hello\xa3m\x9f\x88",
    "deflate": b"x\x9c no deflate at all",
    "gzip, br": b"\x00\xff" * 500,
    "identity": TEXT,
}
EVENTS = [
    b"\xef\xbb\xbfdata: behind a byte order mark\n\n",
    b": a comment\n",
    b":\n\n",
    b"event: message_start\ndata: {}\n\n",
    b"id: 1\r\nretry: 10\r\ndata: crlf\r\n\r\n",
    b"data: cr\r\r",
    b"data: mixed\n\r\n",
    b"data: no space\rdata:two lines\n\n",
    b"data: half a \xc3",
    b"\xa9, and \xf0\x9f",
    b"\x98",
    b"\x80\n",
    b"\n",
    b"data: not UTF-8 \xff\xfe\x80\n\n",
    b"data: NUL \x00\n\n",
    b"nonsense without colon\n\n\n\n",
    b"data: [DONE]\n\n",
    b"data: unfinished",
]


@pytest.mark.parametrize("request_bytes", ROUTES, ids=["provider", "model", "openai"])
@pytest.mark.parametrize("encoding", COMPRESSED)
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_compressed_bodies_stay_as_they_are(
    gateway: Gateway, upstream: ScriptedUpstream, request_bytes: bytes, encoding: str, framing: str
) -> None:
    body = COMPRESSED[encoding]
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nVary: Accept-Encoding\r\n".encode()
    if framing == "length":
        reply = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    elif framing == "chunked":
        reply = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        reply = head + b"\r\n" + body
    upstream.script = reply_with(reply, closes=framing == "close")
    async with await RawClient.connect(gateway.url) as client:
        await client.send(request_bytes)
        response = await client.read_response()
    assert response.body == body
    assert response.values("content-encoding") == [encoding.encode()]
    assert response.values("vary") == [b"Accept-Encoding"]
    assert response.values("content-length") == ([b"%d" % len(body)] if framing == "length" else [])


@pytest.mark.parametrize("request_bytes", ROUTES, ids=["provider", "model", "openai"])
@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_events_arrive_byte_for_byte_before_the_next_is_written(
    gateway: Gateway, upstream: ScriptedUpstream, request_bytes: bytes, framing: str
) -> None:
    seen: asyncio.Queue[None] = asyncio.Queue()

    async def script(_: RawRequest, answering: Answering) -> None:
        is_chunked = framing == "chunked"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
        await answering.send(head + (b"Transfer-Encoding: chunked\r\n\r\n" if is_chunked else b"\r\n"))
        await seen.get()
        for event in EVENTS:
            await (answering.send_chunk(event) if is_chunked else answering.send(event))
            await seen.get()
        if is_chunked:
            await answering.send(b"0\r\n\r\n")
        else:
            answering.close()

    upstream.script = script
    async with await RawClient.connect(gateway.url) as client:
        await client.send(request_bytes)
        assert b"\r\ncontent-type: text/event-stream; charset=utf-8\r\n" in (await client.read_head()).lower()
        for event in EVENTS:
            # The provider writes on only when this has been read: nothing can be held back, or joined.
            seen.put_nowait(None)
            assert await client.read_chunk() == event
        seen.put_nowait(None)
        assert await client.read_chunk() == b""


async def test_a_chunk_with_its_payload_still_on_the_way_is_relayed(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    seen: asyncio.Queue[None] = asyncio.Queue()
    parts = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"6\r\nfir",
        b"st.\r\n6",
        b"\r\nsec",
        b"ond\r\n0\r\n\r\n",
    ]

    async def script(_: RawRequest, answering: Answering) -> None:
        for part in parts:
            await answering.send(part)
            await seen.get()

    upstream.script = script
    async with await RawClient.connect(gateway.url) as client:
        await client.send(build_request("GET", ROUTE))
        await client.read_head()
        for expected in (b"fir", b"st.", b"sec", b"ond"):
            seen.put_nowait(None)
            assert await client.read_chunk() == expected
        assert await client.read_chunk() == b""
        seen.put_nowait(None)


async def test_pieces_of_a_counted_reply_and_its_head_arrive_as_they_are_written(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    seen: asyncio.Queue[None] = asyncio.Queue()

    async def script(_: RawRequest, answering: Answering) -> None:
        await answering.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        for piece in (b"one", b"two", b"end"):
            await seen.get()
            await answering.send(piece)

    upstream.script = script
    async with await RawClient.connect(gateway.url) as client:
        await client.send(build_request("GET", ROUTE))
        await client.read_head()
        for piece in (b"one", b"two", b"end"):
            seen.put_nowait(None)
            assert await asyncio.wait_for(client.reader.readexactly(3), 10) == piece


async def test_pieces_of_an_upload_arrive_as_they_are_written(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    pieces = [b"first", b"\r\n\r\n", b"\x00\xff", b"0\r\n\r\n", b"end"]
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def on_head(_: RawRequest, answering: Answering) -> None:
        for piece in pieces:
            chunk = await answering.reader.readexactly(len(b"%x\r\n%b\r\n" % (len(piece), piece)))
            arrived.put_nowait(chunk)
        assert await answering.reader.readexactly(5) == b"0\r\n\r\n"
        await answering.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    upstream.on_head = on_head
    async with await RawClient.connect(gateway.url) as client:
        await client.send(build_request("POST", ROUTE, "Transfer-Encoding: chunked"))
        for piece in pieces:
            chunk = b"%x\r\n%b\r\n" % (len(piece), piece)
            await client.send(chunk)
            assert await asyncio.wait_for(arrived.get(), 10) == chunk
        await client.send(b"0\r\n\r\n")
        assert (await client.read_response()).status == 200


async def test_event_streams_of_counted_length_stay_counted(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    body = b"".join(EVENTS)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body)
    upstream.script = reply_with(head + body)
    async with await RawClient.connect(gateway.url) as client:
        await client.send(build_request("GET", ROUTE))
        response = await client.read_response()
    assert response.body == body
    assert not re.search(rb"(?i)transfer-encoding", response.head)

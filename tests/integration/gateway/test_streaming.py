"""Replies and uploads stream through as they come."""

import asyncio

from modelport_testing.gateway_harness import BASE, Gateway
from modelport_testing.raw_client import RawClient
from modelport_testing.scripted_upstream import Answering, RawRequest, ScriptedUpstream

POST = (
    f"POST {BASE}/provider/openai/-/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer mine\r\n"
    'Content-Type: application/json\r\nContent-Length: 17\r\n\r\n{"model":"gpt-4"}'
).encode()
SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_an_event_stream_arrives_as_it_is_sent(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    steps: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(_: RawRequest, answering: Answering) -> None:
        await answering.send(SSE_HEAD)
        while event := await steps.get():
            await answering.send_chunk(event)
        await answering.send(b"0\r\n\r\n")

    upstream.script = script
    async with await RawClient.connect(gateway.url) as client:
        await client.send(POST)
        for event in (b"data: one\n\n", b": comment\n\n", b"event: x\ndata: \xc3", b"\xa9\n\n"):
            steps.put_nowait(event)
            if event == b"data: one\n\n":
                head = await client.read_head()
                assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
            assert await client.read_chunk() == event
        steps.put_nowait(b"")
        assert await client.read_chunk() == b""
        assert upstream.last.target == b"/v1/chat/completions"
        assert upstream.last.body == b'{"model":"gpt-4"}'

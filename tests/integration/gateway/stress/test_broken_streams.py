"""A provider that leaves in the midst of a stream, as the official SDKs see it: never as a whole reply.

What the bytes are is tested in test_upstream_side.py; here that the SDKs understand them (docs/dataplane.md, Ends).
"""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anthropic
import openai
import pytest

from modelport_testing.gateway_harness import BASE, Gateway
from modelport_testing.scripted_upstream import Answering, RawRequest, ScriptedUpstream

SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
URL = f"{BASE}/provider/openai/-"


def openai_event(text: str) -> bytes:
    chunk = {
        "id": "c-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def anthropic_event(text: str) -> bytes:
    event = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    return b"event: content_block_delta\ndata: " + json.dumps(event).encode() + b"\n\n"


def anthropic_start() -> bytes:
    message: dict[str, Any] = {
        "id": "m-1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    return (
        b"event: message_start\ndata: " + json.dumps({"type": "message_start", "message": message}).encode() + b"\n\n"
    )


Leave = Callable[[Answering, bytes], Awaitable[None]]


async def relayed() -> None:
    """Let what was sent pass: a reset overtakes it, and what is read together with nonsense is not relayed."""
    await asyncio.sleep(0.1)


async def close_between_events(answering: Answering, _: bytes) -> None:
    answering.close()


async def reset_between_events(answering: Answering, _: bytes) -> None:
    await relayed()
    answering.reset()


async def close_within_an_event(answering: Answering, event: bytes) -> None:
    await answering.send_chunk(event[: len(event) // 2])
    answering.close()


async def close_after_a_line(answering: Answering, event: bytes) -> None:
    await answering.send_chunk(event[:-1])
    answering.close()


async def break_the_framing(answering: Answering, _: bytes) -> None:
    await relayed()
    await answering.send(b"this is no chunk\r\n")
    await answering.client_closed()
    answering.close()


BETWEEN: list[Leave] = [close_between_events, reset_between_events, break_the_framing]
WITHIN: list[Leave] = [close_within_an_event, close_after_a_line]


def stream_then(leave: Leave, *events: bytes, head: bytes = SSE + CHUNKED) -> "Script":
    async def script(_: RawRequest, answering: Answering) -> None:
        await answering.send(head + b"\r\n")
        for event in events:
            await answering.send_chunk(event)
        await leave(answering, events[-1])

    return script


Script = Callable[[RawRequest, Answering], Awaitable[None]]


@pytest.fixture
async def oai(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=gateway.url + URL, api_key="x", max_retries=0) as client:
        yield client


@pytest.fixture
async def claude(gateway: Gateway) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=gateway.url + URL, api_key="x", max_retries=0) as client:
        yield client


async def read_openai(client: openai.AsyncOpenAI, into: list[str]) -> None:
    messages: list[openai.types.chat.ChatCompletionUserMessageParam] = [{"role": "user", "content": "Hello!"}]
    async with await client.chat.completions.create(model="m", messages=messages, stream=True) as stream:
        async for chunk in stream:
            into.append(chunk.choices[0].delta.content or "")


async def read_anthropic(client: anthropic.AsyncAnthropic, into: list[str]) -> None:
    messages: list[anthropic.types.MessageParam] = [{"role": "user", "content": "Hello!"}]
    async with await client.messages.create(model="m", max_tokens=9, messages=messages, stream=True) as stream:
        async for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                into.append(event.delta.text)


@pytest.mark.parametrize("leave", BETWEEN)
async def test_openai_raises_the_cause(oai: openai.AsyncOpenAI, upstream: ScriptedUpstream, leave: Leave) -> None:
    upstream.script = stream_then(leave, openai_event("one"), openai_event("two"))
    text: list[str] = []
    with pytest.raises(openai.APIError) as caught:
        await read_openai(oai, text)
    assert text == ["one", "two"]
    assert caught.value.code in ("upstream_closed", "upstream_protocol")
    assert upstream.url in caught.value.message or "the provider" in caught.value.message


@pytest.mark.parametrize("leave", BETWEEN)
async def test_anthropic_raises_the_cause(
    claude: anthropic.AsyncAnthropic, upstream: ScriptedUpstream, leave: Leave
) -> None:
    upstream.script = stream_then(leave, anthropic_start(), anthropic_event("one"), anthropic_event("two"))
    text: list[str] = []
    with pytest.raises(anthropic.APIStatusError) as caught:
        await read_anthropic(claude, text)
    assert text == ["one", "two"]
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["code"] in ("upstream_closed", "upstream_protocol")


@pytest.mark.parametrize("leave", WITHIN)
async def test_neither_sees_a_whole_reply_that_was_cut_within_an_event(
    oai: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic, upstream: ScriptedUpstream, leave: Leave
) -> None:
    text: list[str] = []
    upstream.script = stream_then(leave, openai_event("one"), openai_event("two"))
    with pytest.raises(openai.APIConnectionError):
        await read_openai(oai, text)
    upstream.script = stream_then(leave, anthropic_start(), anthropic_event("one"), anthropic_event("two"))
    # This SDK passes its HTTP client's error on.
    with pytest.raises(Exception, match="incomplete chunked read"):
        await read_anthropic(claude, text)
    assert text == ["one", "two"] * 2


async def test_nor_one_that_is_compressed_or_counted(oai: openai.AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    packed = gzip.compress(openai_event("one"))
    heads = (
        SSE + b"Content-Encoding: gzip\r\n" + CHUNKED,
        SSE + b"Content-Length: 100000\r\n",
    )
    for head, body in zip(heads, (b"%x\r\n%b\r\n" % (len(packed), packed), openai_event("one")), strict=True):

        async def script(_: RawRequest, answering: Answering, head: bytes = head, body: bytes = body) -> None:
            await answering.send(head + b"\r\n" + body)
            answering.close()

        upstream.script = script
        text: list[str] = []
        with pytest.raises(openai.APIConnectionError):
            await read_openai(oai, text)
        assert text == ["one"]


async def test_a_plain_reply_that_is_cut_is_a_connection_error(
    oai: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic, upstream: ScriptedUpstream
) -> None:
    async def script(_: RawRequest, answering: Answering) -> None:
        await answering.send(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"id":')
        answering.close()

    upstream.script = script
    with pytest.raises(openai.APIConnectionError):
        await oai.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hello!"}])
    with pytest.raises(anthropic.APIConnectionError):
        await claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hello!"}])


async def test_who_leaves_before_the_first_byte_is_an_error_of_the_gateways(
    oai: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic, upstream: ScriptedUpstream
) -> None:
    async def script(_: RawRequest, answering: Answering) -> None:
        answering.close()

    upstream.script = script
    with pytest.raises(openai.InternalServerError) as caught:
        await read_openai(oai, [])
    with pytest.raises(anthropic.InternalServerError) as other:
        await read_anthropic(claude, [])
    assert caught.value.status_code == other.value.status_code == 502
    assert caught.value.code == "upstream_closed"

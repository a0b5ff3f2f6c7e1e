"""Random valid requests and replies: what arrives is what was sent, save for what docs/dataplane.md names."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from modelport_testing.forwarding_rules import Dressing, lines_to_client, lines_to_provider, name_of, target_at_provider
from modelport_testing.gateway_harness import BASE, Gateway
from modelport_testing.random_messages import Reply, Request, model_bodies, pieces, replies, requests
from modelport_testing.raw_client import RawClient, RawResponse
from modelport_testing.scripted_upstream import Answering, RawRequest, ScriptedUpstream

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
# Finding the smallest failure takes time; without one it is a few seconds.

PROVIDER = f"{BASE}/provider/openai/-/".encode()
DRESSED = f"{BASE}/provider/dressed/-/".encode()
MODEL = f"{BASE}/model/gpt-4/-/".encode()
OPENAI = f"{BASE}/openai/-/".encode()
SERVED = b'"served/gpt-4"'
NAMED = [b'"gpt-4"', b'"default/gpt-4"', b'"default\\/gpt\\u002d4"', b'"served/gpt-4"']
ANYTHING = [*NAMED, b"null", b"[1, 2]", b'{"a":{"model":1}}', b'"\\ud83d\\ude00"']
ORIGIN = b"http://origin.placeholder"
"""Stands for the provider's origin, whose port is known only when the test runs."""


def slow(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@dataclass(frozen=True)
class Conversation:
    """Requests of one connection and their replies, and how both are cut into writes."""

    requests: list[Request]
    replies: list[Reply]
    writes: list[list[bytes]]
    """Of the client: one list for all requests where they are pipelined, else one per request."""
    answers: list[list[bytes]]
    """Of the provider: one list per reply."""

    @property
    def is_pipelined(self) -> bool:
        return len(self.writes) < len(self.requests)

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        printer.text(repr(self))  # hypothesis shows the fields of a dataclass otherwise

    def __repr__(self) -> str:
        whole = [request.raw for request in self.requests] + [reply.raw for reply in self.replies]
        shown = [f"{len(raw)} bytes {raw[:1000]!r}" for raw in whole]
        cuts = [[len(piece) for piece in pieces] for pieces in (*self.writes, *self.answers)]
        return "\n".join(["", *shown, f"cut into {cuts}"])


@st.composite
def conversations(
    draw: st.DrawFn, route: bytes, bodies: st.SearchStrategy[tuple[bytes, bytes]] | None = None
) -> Conversation:
    """Draw up to four requests of one connection and their replies."""
    count = draw(st.integers(1, 4))
    asked = [draw(requests(route, bodies, is_last=number == count - 1)) for number in range(count)]
    answered = [draw(replies(request.method, ORIGIN)) for request in asked]
    if draw(st.booleans()):
        writes = [draw(pieces(b"".join(request.raw for request in asked)))]
    else:
        writes = [draw(pieces(request.raw)) for request in asked]
    return Conversation(asked, answered, writes, [draw(pieces(reply.raw)) for reply in answered])


async def run(
    gateway: Gateway, upstream: ScriptedUpstream, conversation: Conversation, route: bytes, dressing: Dressing
) -> None:
    """Let it happen, and compare both sides with what the rules say."""
    origin = upstream.url.encode()
    upstream.requests.clear()
    upstream.forget_recordings()
    waiting = list(zip(conversation.answers, conversation.replies, strict=True))

    async def script(_: RawRequest, answering: Answering) -> None:
        answer, reply = waiting.pop(0)
        # A cut within the placeholder would leave it as it is.
        is_whole = ORIGIN in reply.raw
        await write_apart(answering.send, [reply.raw.replace(ORIGIN, origin)] if is_whole else answer)
        if reply.closes:
            answering.close()

    upstream.script = script
    got = []
    async with await RawClient.connect(gateway.url) as client, asyncio.TaskGroup() as sending:
        if conversation.is_pipelined:
            sending.create_task(write_apart(client.send, conversation.writes[0]))
        for number, request in enumerate(conversation.requests):
            if not conversation.is_pipelined:
                sending.create_task(write_apart(client.send, conversation.writes[number]))
            got.append(await final_response(client, request.method.decode()))
        assert await client.read_to_end() == b""
    assert len(upstream.requests) == len(conversation.requests)
    for request, reply, received, response in zip(
        conversation.requests, conversation.replies, upstream.requests, got, strict=True
    ):
        expect_request(request, received, dressing)
        expect_reply(request, reply, response, route, origin)


async def write_apart(send: Callable[[bytes], Awaitable[None]], data: Sequence[bytes]) -> None:
    for piece in data:
        await send(piece)
        await asyncio.sleep(0)


async def final_response(client: RawClient, method: str) -> RawResponse:
    while (response := await client.read_response(method, timeout_s=10)).status == 100:
        pass
    return response


def digest(data: bytes) -> tuple[int, str]:
    return len(data), hashlib.sha256(data).hexdigest()


def expect_request(request: Request, received: RawRequest, dressing: Dressing) -> None:
    target = target_at_provider(request.tail, request.query)
    assert received.request_line == request.method + b" " + target + b" HTTP/1.1"
    lines = lines_to_provider(request.lines, dressing)
    assert received.lines[: len(lines)] == lines
    framing = received.lines[len(lines) :]
    event(f"body to the provider: {framing[0].split(b':')[0].decode() if framing else 'none'}")
    if framing == [b"Transfer-Encoding: chunked"]:
        assert request.framing == "chunked"
    elif framing:
        assert framing == [b"Content-Length: %d" % len(request.sent_body)]
    else:
        assert not request.sent_body
        assert request.method not in (b"POST", b"PUT", b"PATCH")
    assert digest(received.body) == digest(request.sent_body)


def expect_reply(request: Request, reply: Reply, response: RawResponse, route: bytes, origin: bytes) -> None:
    assert response.status_line == reply.status_line
    lines = [line.replace(ORIGIN, origin) for line in reply.lines]
    kept = lines_to_client(lines, reply.status, route=route, origin=origin)
    assert response.lines[: len(kept)] == kept
    added = {name_of(line) for line in response.lines[len(kept) :]}
    assert len(added) == len(response.lines) - len(kept)
    wanted = {b"x-modelport-request-id"}
    if reply.status >= 400:
        wanted.add(b"x-modelport-error-origin")
    if not any(name_of(line) == b"date" for line in kept):
        wanted.add(b"date")
    if reply.framing in ("chunked", "close") and not request.is_http_10:
        wanted.add(b"transfer-encoding")
    if request.is_last:
        wanted.add(b"connection")
    assert added == wanted
    named = b"X-Request-Id: mine-1" in request.lines
    assert (response.values("x-modelport-request-id")[-1] == b"mine-1") == named
    assert digest(response.body) == digest(reply.body)
    assert response.trailers == b""


@given(conversation=conversations(PROVIDER))
@slow(80)
async def test_the_provider_route_changes_nothing_else(
    gateway: Gateway, upstream: ScriptedUpstream, conversation: Conversation
) -> None:
    dressing = Dressing(f"127.0.0.1:{upstream.port}".encode())
    await run(gateway, upstream, conversation, PROVIDER, dressing)


@given(conversation=conversations(DRESSED))
@slow(40)
async def test_a_provider_with_headers_of_its_own_adds_those(
    gateway: Gateway, upstream: ScriptedUpstream, conversation: Conversation
) -> None:
    dressing = Dressing(
        f"127.0.0.1:{upstream.port}".encode(),
        default_headers={b"X-Default": b"d\xe9faut", b"Accept": b"application/json"},
        required_headers={b"X-Required": b"yes", b"via": b"somebody"},
        auth=(b"X-Provider-Auth", b"Key sk-dressed!"),
    )
    await run(gateway, upstream, conversation, DRESSED, dressing)


@given(conversation=conversations(MODEL, model_bodies(ANYTHING, SERVED, may_be_absent=True)))
@slow(40)
async def test_the_model_route_changes_the_model_s_value_alone(
    gateway: Gateway, upstream: ScriptedUpstream, conversation: Conversation
) -> None:
    await run(gateway, upstream, conversation, MODEL, Dressing(f"127.0.0.1:{upstream.port}".encode()))


@given(conversation=conversations(OPENAI, model_bodies(NAMED, SERVED, may_be_absent=False)))
@slow(40)
async def test_the_openai_route_changes_the_model_s_value_alone(
    gateway: Gateway, upstream: ScriptedUpstream, conversation: Conversation
) -> None:
    await run(gateway, upstream, conversation, OPENAI, Dressing(f"127.0.0.1:{upstream.port}".encode()))

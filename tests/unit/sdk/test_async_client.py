"""The asynchronous client: it runs the same calls, so what is tested is the running."""

import asyncio
import inspect
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from modelport import (
    AsyncEventStream,
    AsyncModelport,
    ConnectionFailedError,
    Modelport,
    NotFoundError,
    ServerError,
    StreamError,
    WaitTimeoutError,
)
from modelport_testing.scripted import Reply, Script, error, page, provider, secret

SECRETS = "/apis/secrets/v2/workspaces/default/secrets"
PROVIDER = "/apis/models/v2/workspaces/default/providers/openai"
GATEWAY = "/apis/inference-gateway/v2/workspaces/default"
CHAT = f"{GATEWAY}/provider/openai/-/v1/chat/completions"
SSE = {"content-type": "text/event-stream"}


async def test_calls(script: Script, async_client: AsyncModelport) -> None:
    script.on("POST", SECRETS, Reply(503, headers={"retry-after": "0"}), Reply(201, json=secret()))
    script.on("DELETE", f"{SECRETS}/openai-api-key", Reply(204))
    assert (await async_client.secrets.create(name="openai-api-key", data="s")).name == "openai-api-key"
    await async_client.secrets.delete("openai-api-key")
    assert [one.method for one in script.requests] == ["POST", "POST", "DELETE"]
    reply = Reply(202, json={"rotated_secrets": 3, "success": True})
    script.on("POST", "/apis/secrets/v2/rotate-encryption-keys", reply)
    assert (await async_client.secrets.admin.rotate_encryption_keys()).rotated_secrets == 3


async def test_exist_ok(script: Script, async_client: AsyncModelport) -> None:
    script.on("POST", SECRETS, Reply(409, headers={"x-should-retry": "false"}))
    script.on("GET", f"{SECRETS}/k1", Reply(json=secret("k1")))
    assert (await async_client.secrets.create(name="k1", value="v", exist_ok=True)).name == "k1"


async def test_errors(script: Script, async_client: AsyncModelport) -> None:
    with pytest.raises(NotFoundError):
        await async_client.secrets.retrieve("absent")
    script.on("POST", CHAT, Reply(500, json=error(500, "x", "broken")))
    with pytest.raises(ServerError, match="broken"):
        await async_client.inference.gateway.provider.post("v1/chat/completions", name="openai", stream=True)
    async with AsyncModelport("http://127.0.0.1:9", max_retries=0) as away:
        with pytest.raises(ConnectionFailedError):
            await away.status()


async def test_lists(script: Script, async_client: AsyncModelport) -> None:
    first = page(secret("a1"), number=1, pages=2, total=2)
    second = page(secret("a2"), number=2, pages=2, total=2)
    script.on("GET", SECRETS, Reply(json=first), Reply(json=second), Reply(json=first), Reply(json=second))
    assert [item.name async for item in async_client.secrets.list()] == ["a1", "a2"]
    got = await async_client.secrets.list()
    assert ([item.name for item in got.data], got.has_next_page) == (["a1"], True)
    assert [item.name for item in (await got.next_page()).data] == ["a2"]


async def test_streams(script: Script, async_client: AsyncModelport) -> None:
    go_on = threading.Event()
    parts: list[bytes | threading.Event] = [b'data: {"n": 1}\n\n', go_on, b'data: {"n": 2}\n\ndata: [DONE]\n\n']
    script.on("POST", CHAT, Reply(headers=SSE, parts=parts))
    post = async_client.inference.gateway.provider.post
    events = await post("v1/chat/completions", name="openai", body={}, stream=True)
    assert isinstance(events, AsyncEventStream)
    async with events:
        assert (await anext(events)).json() == {"n": 1}
        go_on.set()
        assert [event.json() async for event in events] == [{"n": 2}]
    assert script.requests[0].json == {"stream": True}


async def test_streams_that_end_badly(script: Script, async_client: AsyncModelport) -> None:
    post = async_client.inference.gateway.provider.post
    script.on("POST", CHAT, Reply(headers=SSE, parts=[b"data: {}\n\n"], cut=True))
    with pytest.raises(ConnectionFailedError, match="cut off"):
        [event async for event in await post("v1/chat/completions", name="openai", stream=True)]
    script.on("POST", CHAT, Reply(headers=SSE, parts=[b"event: error\ndata: gone\n\n"]))
    with pytest.raises(StreamError, match="gone"):
        [event async for event in await post("v1/chat/completions", name="openai", stream=True)]
    script.on("POST", CHAT, Reply(json={"whole": True}))
    events = [event.json() async for event in await post("v1/chat/completions", name="openai", stream=True)]
    assert events == [{"whole": True}]


async def test_raw_and_any_request(script: Script, async_client: AsyncModelport) -> None:
    script.on("GET", f"{GATEWAY}/openai/-/v1/models", Reply(json={}, headers={"x-y": "z"}))
    assert (await async_client.inference.gateway.openai.get("v1/models", raw=True)).headers["x-y"] == "z"
    script.on("GET", "/status", Reply(json={"status": "ready"}))
    assert (await async_client.request("GET", "/status")).json() == {"status": "ready"}
    assert (await async_client.status()).status == "ready"
    script.on("GET", "/cluster-info", Reply(json={"platform_version": "0.1.0"}))
    assert (await async_client.cluster_info()).platform_version == "0.1.0"


async def test_waiting(script: Script, async_client: AsyncModelport) -> None:
    script.on("GET", PROVIDER, Reply(json=provider(status="PENDING")), Reply(json=provider()))
    ready = {"ready": True, "provider": "default/openai", "host_url": "http://x"}
    script.on("GET", f"{GATEWAY}/provider/openai/ready", Reply(404), Reply(json=ready))
    assert await async_client.models.wait_for_provider("openai")
    with pytest.raises(WaitTimeoutError):
        await async_client.models.wait_for_provider("openai", "LOST", timeout=0.1)


async def test_waiting_can_be_cancelled(script: Script, async_client: AsyncModelport) -> None:
    script.on("GET", PROVIDER, Reply(json=provider(status="PENDING")))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(async_client.models.wait_for_provider("openai"), 0.2)


async def test_the_openai_client(script: Script, async_client: AsyncModelport) -> None:
    script.on("GET", f"{GATEWAY}/openai/-/v1/models", Reply(json={"object": "list", "data": []}))
    async with async_client.models.get_openai_client() as openai:
        assert (await openai.models.list()).data == []
    assert script.requests[0].headers["authorization"] == "Bearer not-needed"


async def test_an_http_client_of_ones_own_stays_open(script: Script) -> None:
    async with httpx.AsyncClient() as http:
        async with AsyncModelport(script.url, http_client=http, workspace="w1") as client:
            assert repr(client) == f"<AsyncModelport {script.url} workspace=w1>"
        assert not http.is_closed


def _surface(thing: object, path: str = "client") -> Iterator[tuple[str, Any]]:
    for name in dir(thing):
        value = getattr(thing, name)
        if name.startswith("_"):
            continue
        if type(value).__module__.startswith("modelport."):
            yield from _surface(value, f"{path}.{name}")
        elif callable(value):
            yield f"{path}.{name}", [str(p).split(":")[0] for p in inspect.signature(value).parameters.values()]
        else:
            yield f"{path}.{name}", None


async def test_both_clients_have_the_same_methods(client: Modelport, async_client: AsyncModelport) -> None:
    surface = dict(_surface(client))
    assert surface == dict(_surface(async_client))
    assert surface["client.inference.gateway.provider.ready"] == ["name", "revision", "wait", "workspace"]
    assert len(surface) > 50


def test_methods_have_the_documentation_of_their_calls(client: Modelport) -> None:
    assert (client.secrets.delete.__doc__ or "").startswith("Delete a secret.")
    shown = str(inspect.signature(client.secrets.delete))
    assert shown.startswith("(name: str, *, workspace: str | None = None)")

"""Our SDK against the whole platform, synchronous and asynchronous."""

import asyncio
import json
import time

import pytest

from modelport import (
    AsyncModelport,
    BadRequestError,
    ConflictError,
    FailedDependencyError,
    Modelport,
    NotFoundError,
    UnprocessableError,
    WaitTimeoutError,
)
from modelport_testing.journeys import GATEWAY, register
from modelport_testing.polling import eventually_sync
from modelport_testing.providers import Style
from modelport_testing.upstreams import Upstream

HELLO = {"model": "gpt-4", "messages": [{"role": "user", "content": "Hello!"}]}
CHAT = "v1/chat/completions"


def said(reply: dict[str, list[dict[str, dict[str, str]]]]) -> str:
    return reply["choices"][0]["message"]["content"]


def test_every_route(client: Modelport, openai_upstream: Upstream) -> None:
    register(client, openai_upstream)
    gateway = client.inference.gateway
    assert said(gateway.provider.post(CHAT, name="openai", body=HELLO)) == "You said: Hello!"
    assert said(gateway.model.post(CHAT, name="gpt-4", body={**HELLO, "model": "x"})) == "You said: Hello!"
    assert said(gateway.openai.post(CHAT, body=HELLO)) == "You said: Hello!"
    assert gateway.provider.get("v1/echo?a=1", name="openai") == {"target": "/v1/echo?a=1"}
    with gateway.openai.post(CHAT, body=HELLO, stream=True) as events:
        datas = [event.data for event in events]
    assert [json.loads(data)["choices"][0]["delta"].get("content", "") for data in datas] == [
        "",
        "You",
        " said:",
        " Hello!",
        "",
    ]
    assert gateway.provider.ready("openai").host_url == openai_upstream.host_url


async def test_every_route_asynchronously(base_url: str, workspace: str, openai_upstream: Upstream) -> None:
    async with AsyncModelport(base_url, workspace) as client:
        assert openai_upstream.key is not None
        await client.secrets.create(name="openai-key", data=openai_upstream.key)
        provider = await client.inference.providers.create(
            name="openai", host_url=openai_upstream.host_url, api_key_secret_name="openai-key"
        )
        assert await client.models.wait_for_provider("openai")
        gateway = client.inference.gateway
        replies = await asyncio.gather(
            gateway.provider.post(CHAT, name="openai", body=HELLO),
            gateway.model.post(CHAT, name="gpt-4", body=HELLO),
            gateway.openai.post(CHAT, body=HELLO),
        )
        assert [said(reply) for reply in replies] == ["You said: Hello!"] * 3
        async with await gateway.openai.post(CHAT, body=HELLO, stream=True) as events:
            assert len([event async for event in events]) == 5
        entity = await client.models.retrieve("gpt-4")
        route = f"{base_url}{GATEWAY}/{workspace}"
        assert client.models.get_openai_route_base_url() == f"{route}/openai/-/v1"
        assert client.models.get_model_entity_route_openai_url(entity) == f"{route}/model/gpt-4/-/v1"
        assert client.models.get_provider_route_openai_url(provider) == f"{route}/provider/openai/-"
        assert [one.name async for one in client.inference.providers.list()] == ["openai"]


def test_what_exists_already_is_a_conflict_or_taken_as_it_is(client: Modelport, openai_upstream: Upstream) -> None:
    register(client, openai_upstream)
    target = f"{client.workspace}/gpt-4"
    client.inference.virtual_models.create(name="mine", models=[{"model": target}])
    for create in (
        lambda exist_ok: client.secrets.create(name="openai-key", value="other", exist_ok=exist_ok),
        lambda exist_ok: client.inference.providers.create(
            name="openai", host_url="http://127.0.0.1:9", exist_ok=exist_ok
        ),
        lambda exist_ok: client.workspaces.create(name=client.workspace, exist_ok=exist_ok),
        lambda exist_ok: client.models.create(name="gpt-4", exist_ok=exist_ok),
        lambda exist_ok: client.inference.virtual_models.create(
            name="mine", models=[{"model": target}], exist_ok=exist_ok
        ),
    ):
        started = time.monotonic()
        with pytest.raises(ConflictError):
            create(False)
        # A 409 says that it is not to be tried again.
        assert time.monotonic() - started < 1
        create(True)
    assert client.inference.providers.retrieve("openai").host_url == openai_upstream.host_url
    assert said(client.inference.gateway.openai.post(CHAT, body=HELLO)) == "You said: Hello!"


def test_errors_have_types_and_say_what_to_do(client: Modelport) -> None:
    with pytest.raises(NotFoundError, match="nobody"):
        client.inference.providers.retrieve("nobody")
    with pytest.raises(BadRequestError, match="no-such-secret"):
        client.inference.providers.create(name="p1", host_url="http://h", api_key_secret_name="no-such-secret")
    with pytest.raises(UnprocessableError, match="host_url"):
        client.inference.providers.create(name="p1", host_url="ftp://h")
    with pytest.raises(UnprocessableError, match="lower-case"):
        client.secrets.create(name="Upper", value="x")
    with pytest.raises(NotFoundError):
        client.secrets.create(name="s1", value="x", workspace="nowhere")


def test_waiting_gives_up_with_the_reason(client: Modelport, openai_upstream: Upstream) -> None:
    openai_upstream.faults.status = 503
    client.inference.providers.create(name="openai", host_url=openai_upstream.host_url)
    with pytest.raises(WaitTimeoutError) as failure:
        client.models.wait_for_provider("openai", timeout=1.5)
    assert failure.value.status == "PENDING"
    assert "503" in failure.value.status_message
    assert client.models.wait_for_provider("openai", "PENDING", timeout=1)
    openai_upstream.faults.clear()
    openai_upstream.key = None
    assert client.models.wait_for_provider("openai", timeout=30)


def test_what_discovery_made_goes_with_the_provider(
    client: Modelport, upstreams: dict[Style, Upstream], workspace: str
) -> None:
    register(client, upstreams[Style.ANTHROPIC])
    entity = client.models.retrieve("claude-3-haiku-20240307")
    assert entity.backend_format == "ANTHROPIC_MESSAGES"
    assert entity.model_providers == [f"{workspace}/anthropic"]
    # More than one of the provider's own pages, and all of them.
    assert len(list(client.inference.virtual_models.list(page_size=2))) == len(upstreams[Style.ANTHROPIC].models)
    client.inference.providers.delete("anthropic")
    eventually_sync(lambda: not list(client.inference.virtual_models.list()))
    eventually_sync(lambda: not client.inference.models.list().data)


def test_a_virtual_model_of_ones_own(client: Modelport, openai_upstream: Upstream, workspace: str) -> None:
    register(client, openai_upstream)
    client.inference.virtual_models.create(name="assistant", models=[{"model": f"{workspace}/gpt-3-5-turbo"}])

    def ask() -> str:
        return str(client.inference.gateway.openai.post(CHAT, body={**HELLO, "model": "assistant"})["model"])

    assert eventually_sync(ask, ignoring=(NotFoundError,)) == "gpt-3.5-turbo"
    client.inference.virtual_models.delete("assistant")
    assert "assistant" not in [one.name for one in client.inference.virtual_models.list()]


def test_a_provider_that_speaks_another_language_is_ready_for_its_own_route(
    client: Modelport, openai_upstream: Upstream
) -> None:
    openai_upstream.faults.status = 404
    client.inference.providers.create(name="other", host_url=openai_upstream.host_url)
    client.models.wait_for_provider("other")
    provider = client.inference.providers.retrieve("other")
    assert provider.served_models == []
    assert provider.status_message
    with pytest.raises(NotFoundError) as failure:
        client.inference.gateway.provider.get("anything", name="other")
    assert failure.value.response.headers["x-modelport-error-origin"] == "upstream"


def test_a_missing_secret_is_424(client: Modelport, openai_upstream: Upstream) -> None:
    register(client, openai_upstream)
    client.secrets.delete("openai-key")
    seen = len(openai_upstream.requests)

    def refusal() -> str:
        try:
            client.inference.gateway.provider.get("v1/echo", name="openai")
        except FailedDependencyError as error:
            return error.message
        return ""

    assert "openai-key" in eventually_sync(refusal)
    client.secrets.create(name="openai-key", value=str(openai_upstream.key))
    eventually_sync(
        lambda: client.inference.gateway.provider.get("v1/echo", name="openai"), ignoring=(FailedDependencyError,)
    )
    assert len(openai_upstream.requests) > seen

"""The official `openai` and `anthropic` packages, pointed at the gateway by nothing but their base_url."""

from collections.abc import Iterator

import anthropic
import openai
import pytest

from modelport import AsyncModelport, Modelport
from modelport_testing.canaries import Kind, canary
from modelport_testing.journeys import GATEWAY, register
from modelport_testing.polling import eventually_sync
from modelport_testing.providers import Style
from modelport_testing.upstreams import Upstream

MODEL = "claude-of-a-test"
"""The package warns of real models that are near their end."""
CLIENTS_OWN_KEY = canary(Kind.CLIENT, "sk-")


def assert_own_key_stayed(*upstreams: Upstream) -> None:
    for upstream in upstreams:
        for request in upstream.requests:
            assert CLIENTS_OWN_KEY.encode() not in b"".join(value for _, value in request.headers)


@pytest.fixture(params=["openai route", "provider url", "model url"])
def oai(request: pytest.FixtureRequest, client: Modelport, openai_upstream: Upstream) -> Iterator[openai.OpenAI]:
    register(client, openai_upstream)
    if request.param == "openai route":
        url = client.models.get_openai_route_base_url()
    elif request.param == "provider url":
        url = client.models.get_provider_route_openai_url(client.inference.providers.retrieve("openai"))
    else:
        url = client.models.get_model_entity_route_openai_url(client.models.retrieve("gpt-4"))
    with openai.OpenAI(base_url=url, api_key=CLIENTS_OWN_KEY) as made:
        yield made
    assert_own_key_stayed(openai_upstream)


def test_openai_answers(oai: openai.OpenAI) -> None:
    reply = oai.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "Hello!"}])
    assert reply.choices[0].message.content == "You said: Hello!"
    assert reply.usage is not None
    assert reply.usage.total_tokens == 6


def test_openai_streams(oai: openai.OpenAI) -> None:
    with oai.chat.completions.create(
        model="gpt-4",
        messages=[{"role": "user", "content": "one two three"}],
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        chunks = list(stream)
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "You said: one two three"
    )
    assert chunks[-1].usage is not None


async def test_openai_asynchronously(
    base_url: str, workspace: str, client: Modelport, openai_upstream: Upstream
) -> None:
    register(client, openai_upstream)
    async with AsyncModelport(base_url, workspace) as ours, ours.models.get_openai_client() as oai:
        messages: list[openai.types.chat.ChatCompletionUserMessageParam] = [{"role": "user", "content": "Hello!"}]
        reply = await oai.chat.completions.create(model=f"{workspace}/gpt-4", messages=messages)
        assert reply.choices[0].message.content == "You said: Hello!"
        text = ""
        async with await oai.chat.completions.create(model="gpt-3.5-turbo", messages=messages, stream=True) as stream:
            async for chunk in stream:
                text += chunk.choices[0].delta.content or ""
        assert text == "You said: Hello!"
        embedded = await oai.embeddings.create(
            model="text-embedding-3-small", input=["a", "b"], encoding_format="float"
        )
        assert len(embedded.data) == 2
        listed = [model.id async for model in oai.models.list()]
        assert sorted(listed) == [
            f"{workspace}/gpt-3-5-turbo",
            f"{workspace}/gpt-4",
            f"{workspace}/text-embedding-3-small",
        ]
        assert (await oai.models.retrieve(f"{workspace}/gpt-4")).owned_by == workspace


def test_openai_understands_the_gateways_own_errors(client: Modelport, workspace: str) -> None:
    with client.models.get_openai_client() as oai, pytest.raises(openai.NotFoundError) as failure:
        oai.chat.completions.create(model="nothing-here", messages=[{"role": "user", "content": "Hello!"}])
    assert "nothing-here" in str(failure.value)
    assert failure.value.response.headers["x-modelport-error-origin"] == "gateway"


@pytest.fixture
def claude(
    base_url: str, workspace: str, client: Modelport, anthropic_upstream: Upstream
) -> Iterator[anthropic.Anthropic]:
    anthropic_upstream.models = (MODEL, "claude-two", "claude-three")
    register(client, anthropic_upstream)
    url = f"{base_url}{GATEWAY}/{workspace}/provider/anthropic/-"
    with anthropic.Anthropic(base_url=url, api_key=CLIENTS_OWN_KEY) as made:
        yield made
    assert_own_key_stayed(anthropic_upstream)
    assert {tuple(request.header_values("x-api-key")) for request in anthropic_upstream.requests} == {
        (anthropic_upstream.key,)
    }


def test_anthropic_answers(claude: anthropic.Anthropic) -> None:
    reply = claude.messages.create(model=MODEL, max_tokens=100, messages=[{"role": "user", "content": "Hello!"}])
    assert reply.content[0].type == "text"
    assert reply.content[0].text == "You said: Hello!"


def test_anthropic_streams_with_event_names(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(
        model=MODEL, max_tokens=100, messages=[{"role": "user", "content": "one two"}]
    ) as stream:
        kinds = [event.type for event in stream]
    assert stream.get_final_text() == "You said: one two"
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    # Without the event names the client would see nothing at all.
    assert "content_block_delta" in kinds


def test_anthropic_lists_models_page_by_page(claude: anthropic.Anthropic, anthropic_upstream: Upstream) -> None:
    assert [model.id for model in claude.models.list(limit=2)] == list(anthropic_upstream.models)


def test_anthropic_understands_errors_of_both(
    claude: anthropic.Anthropic, anthropic_upstream: Upstream, client: Modelport
) -> None:
    def ask() -> None:
        claude.with_options(max_retries=0).messages.create(
            model="claude-x", max_tokens=1, messages=[{"role": "user", "content": "Hello!"}]
        )

    with pytest.raises(anthropic.NotFoundError) as theirs:
        ask()
    assert theirs.value.response.headers["x-modelport-error-origin"] == "upstream"
    client.inference.providers.delete("anthropic")

    def gone() -> anthropic.NotFoundError | None:
        with pytest.raises(anthropic.NotFoundError) as ours:
            ask()
        return ours.value if ours.value.response.headers["x-modelport-error-origin"] == "gateway" else None

    ours = eventually_sync(gone)
    assert ours is not None
    assert isinstance(ours.body, dict)
    assert ours.body["type"] == "error"


async def test_anthropic_asynchronously_by_the_model_route(
    base_url: str, workspace: str, client: Modelport, upstreams: dict[Style, Upstream]
) -> None:
    register(client, upstreams[Style.ANTHROPIC])
    url = f"{base_url}{GATEWAY}/{workspace}/model/claude-3-haiku-20240307/-"
    async with (
        anthropic.AsyncAnthropic(base_url=url, api_key=CLIENTS_OWN_KEY) as claude,
        claude.messages.stream(model="any", max_tokens=100, messages=[{"role": "user", "content": "Hello!"}]) as stream,
    ):
        assert await stream.get_final_text() == "You said: Hello!"
        assert (await stream.get_final_message()).model == "claude-3-haiku-20240307"
    assert_own_key_stayed(upstreams[Style.ANTHROPIC])

"""The simulated providers satisfy the clients that their makers publish, and fail as they are told to."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from modelport_testing.providers import MODELS, Style
from modelport_testing.upstreams import start_upstream

SUPPORT = Path(__file__).parents[2] / "support"
HELLO: list[Any] = [{"role": "user", "content": "Hello there"}]


@pytest.mark.parametrize("style", [Style.OPENAI, Style.NVIDIA])
def test_openai_client(style: Style) -> None:
    with (
        start_upstream(style, key="k") as upstream,
        openai.OpenAI(base_url=f"{upstream.url}/v1", api_key="k", max_retries=0) as client,
    ):
        assert [model.id for model in client.models.list()] == list(MODELS[style])
        model = MODELS[style][0]
        reply = client.chat.completions.create(model=model, messages=HELLO)
        assert reply.choices[0].message.content == "You said: Hello there"
        stream: Any = client.chat.completions.create(model=model, messages=HELLO, stream=True)
        tokens = [event.choices[0].delta.content or "" for event in stream]
        assert "".join(tokens) == "You said: Hello there"
        assert len(tokens) > 4
        assert len(client.embeddings.create(model=model, input=["a", "b"]).data) == 2
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="nope", messages=HELLO)
        client.api_key = "wrong"
        with pytest.raises(openai.AuthenticationError):
            client.models.list()


def test_anthropic_client() -> None:
    with (
        start_upstream(Style.ANTHROPIC, key="k") as upstream,
        anthropic.Anthropic(
            # The client's own way is a bearer token; the simulated provider wants the header of the API reference.
            base_url=upstream.url,
            api_key="unused",
            default_headers={"x-api-key": "k"},
            max_retries=0,
        ) as client,
    ):
        assert [model.id for model in client.models.list()] == list(MODELS[Style.ANTHROPIC])
        assert len(upstream.requests_to("/v1/models")) == 3
        message = client.messages.create(model="claude-3-haiku-20240307", max_tokens=9, messages=HELLO)
        assert message.content[0].type == "text"
        assert message.content[0].text == "You said: Hello there"
        with client.messages.stream(model="claude-3-haiku-20240307", max_tokens=9, messages=HELLO) as stream:
            assert "".join(stream.text_stream) == "You said: Hello there"


@pytest.mark.parametrize("missing", ["x-api-key", "anthropic-version"])
def test_anthropic_wants_key_and_version(missing: str) -> None:
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    with start_upstream(Style.ANTHROPIC, key="k") as upstream:
        assert httpx.get(f"{upstream.url}/v1/models", headers=headers).status_code == 200
        del headers[missing]
        assert httpx.get(f"{upstream.url}/v1/models", headers=headers).status_code == 401


def test_requests_are_recorded_as_sent() -> None:
    with start_upstream(Style.OPENAI) as upstream:
        httpx.post(f"{upstream.url}/v1/a%2Fb?x=1&x=2", content=b"\xff\x00", headers=[("X-A", "1"), ("x-a", "2")])
        (request,) = upstream.requests
    assert request.target == b"/v1/a%2Fb?x=1&x=2"
    assert request.body == b"\xff\x00"
    assert [pair for pair in request.headers if pair[0].lower() == b"x-a"] == [(b"X-A", b"1"), (b"x-a", b"2")]


def test_faults() -> None:
    with start_upstream(Style.OPENAI) as upstream, httpx.Client() as client:
        models = f"{upstream.url}/v1/models"
        upstream.faults.status = 429
        refused = client.get(models)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        upstream.faults.clear()
        assert client.get(models).status_code == 200
        upstream.faults.delay_s = 0.2
        with pytest.raises(httpx.ReadTimeout):
            client.get(models, timeout=0.05)
        upstream.faults.clear()
        upstream.die()
        with pytest.raises(httpx.ConnectError):
            client.get(models)
        upstream.revive()
        assert client.get(models).status_code == 200


def test_as_a_program() -> None:
    command = [sys.executable, "-m", "modelport_testing.upstreams", "--style", "openai", "--key-env", "KEY"]
    environment = {**os.environ, "KEY": "k", "PYTHONPATH": str(SUPPORT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            host_url = process.stdout.readline().strip()
            assert host_url.endswith("/v1")
            assert httpx.get(f"{host_url}/models").status_code == 401
            assert httpx.get(f"{host_url}/models", headers={"authorization": "Bearer k"}).status_code == 200
        finally:
            process.terminate()
        assert process.wait(10) == 0

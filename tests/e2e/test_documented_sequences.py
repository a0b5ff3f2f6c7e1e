"""The sequences of docs/wire.md, 6, as they stand there, in the default workspace of a platform that is fresh."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelport import Modelport
from modelport_testing.documented import key_variables, sequences
from modelport_testing.journeys import GATEWAY, clear_workspace
from modelport_testing.providers import Style
from modelport_testing.terminal import Terminal
from modelport_testing.upstreams import Upstream


@pytest.fixture
def default_terminal(tmp_path: Path, base_url: str, upstreams: dict[Style, Upstream]) -> Iterator[Terminal]:
    yield Terminal(tmp_path / "home", base_url, environment=key_variables(upstreams))
    with Modelport(base_url) as client:
        clear_workspace(client)


def test_the_shell_sequence(default_terminal: Terminal, base_url: str, upstreams: dict[Style, Upstream]) -> None:
    shell, _ = sequences(upstreams)
    out = default_terminal.bash(shell).ok()
    assert out.count("You said: Hello!") == 2
    assert "nvidia-build" in out
    route = f"{base_url}{GATEWAY}/default"
    assert [line for line in out.splitlines() if line.startswith("http")] == [
        f"{route}/openai/-/v1",
        f"{route}/provider/openai/-",
        f"{route}/model/gpt-4/-",
    ]
    assert not [key for key in key_variables(upstreams).values() if key in out]

    listed = json.loads(default_terminal.nemo("inference", "providers", "list", "-f", "json").ok())
    assert {one["name"]: one["status"] for one in listed} == {
        "my-nvidia-build": "READY",
        "openai": "READY",
        "anthropic": "READY",
    }
    nvidia = upstreams[Style.NVIDIA].requests_to("/v1/chat/completions")
    assert [request.json()["model"] for request in nvidia] == ["nvidia/llama-3.3-nemotron-super-49b-v1"]
    # Of the two enabled models only.
    openai = next(one for one in listed if one["name"] == "openai")
    assert sorted(one["served_model_name"] for one in openai["served_models"]) == ["gpt-3.5-turbo", "gpt-4"]


def test_the_python_sequence(default_terminal: Terminal, base_url: str, upstreams: dict[Style, Upstream]) -> None:
    _, python = sequences(upstreams)
    prelude = "import os\nfrom modelport import Modelport\nclient = Modelport()\n"
    end = """
reply = oai.chat.completions.create(model="default/gpt-4", messages=[{"role": "user", "content": "Hi"}])
print(reply.choices[0].message.content)
print(client.models.get_model_entity_route_openai_url(client.models.retrieve("gpt-4", workspace="default")))
print(client.models.get_provider_route_openai_url(client.inference.providers.retrieve("openai", workspace="default")))
print(client.models.get_openai_route_base_url())
"""
    route = f"{base_url}{GATEWAY}/default"
    assert default_terminal.python(prelude + python + end).ok().splitlines() == [
        "You said: Hi",
        f"{route}/model/gpt-4/-/v1",
        # Without /v1: the provider's host_url ends in it.
        f"{route}/provider/openai/-",
        f"{route}/openai/-/v1",
    ]
    first, second = upstreams[Style.OPENAI].requests_to("/v1/chat/completions")
    assert first.json()["max_tokens"] == 100
    assert second.json()["model"] == "gpt-4"

"""The published `nemo` command. Each run of it takes seconds, so there are few."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelport import Modelport
from modelport_testing.documented import key_variables, sequences
from modelport_testing.journeys import GATEWAY, clear_workspace, register
from modelport_testing.providers import Style
from modelport_testing.terminal import Terminal
from modelport_testing.upstreams import Upstream

pytestmark = [pytest.mark.published_client, pytest.mark.timeout(400)]


@pytest.fixture
def default_terminal(
    tmp_path: Path, base_url: str, programs: Path, upstreams: dict[Style, Upstream]
) -> Iterator[Terminal]:
    yield Terminal(tmp_path / "home", base_url, programs=programs, environment=key_variables(upstreams))
    with Modelport(base_url) as client:
        clear_workspace(client)


def test_the_documented_shell_sequence(
    default_terminal: Terminal, base_url: str, upstreams: dict[Style, Upstream]
) -> None:
    shell, _ = sequences(upstreams)
    out = default_terminal.bash(shell, timeout=300).ok()
    assert out.count("You said: Hello!") == 2
    assert "nvidia-build" in out
    route = f"{base_url}{GATEWAY}/default"
    assert [line for line in out.splitlines() if line.startswith("http")] == [
        f"{route}/openai/-/v1",
        f"{route}/provider/openai/-",
        f"{route}/model/gpt-4/-",
    ]
    assert not [key for key in key_variables(upstreams).values() if key in out]
    with Modelport(base_url) as client:
        listed = {one.name: one.status for one in client.inference.providers.list()}
    assert listed == {"my-nvidia-build": "READY", "openai": "READY", "anthropic": "READY"}


def test_the_documented_python_sequence(default_terminal: Terminal, upstreams: dict[Style, Upstream]) -> None:
    _, python = sequences(upstreams)
    # The one difference: the published SDK spells the keyword as the JSON field.
    python = python.replace("data=os.environ", "value=os.environ")
    prelude = "import os\nfrom nemo_platform import NeMoPlatform\nclient = NeMoPlatform(workspace='default')\n"
    end = """
reply = oai.chat.completions.create(model="default/gpt-4", messages=[{"role": "user", "content": "Hi"}])
print(reply.choices[0].message.content)
"""
    out = default_terminal.python(prelude + python + end).ok()
    assert out.splitlines()[-1] == "You said: Hi"
    assert len(upstreams[Style.OPENAI].requests_to("/v1/chat/completions")) == 2


def test_chat_streams(published: Terminal, base_url: str, workspace: str, upstreams: dict[Style, Upstream]) -> None:
    upstream = upstreams[Style.NVIDIA]
    with Modelport(base_url, workspace) as client:
        register(client, upstream)
    upstream.faults.token_interval_s = 0.2
    words = " ".join(f"word{number}" for number in range(10))
    with published.popen("nemo", "chat", f"{workspace}/meta-llama-3-1-8b-instruct", words) as chat:
        assert chat.stdout is not None
        first = chat.stdout.read(1)
        seen_first = time.monotonic()
        rest = chat.stdout.read()
        seen_last = time.monotonic()
        assert chat.wait() == 0
    assert (first + rest).decode().strip() == f"You said: {words}"
    assert seen_last - seen_first > 1.0
    (request,) = upstream.requests_to("/v1/chat/completions")
    assert request.json()["model"] == "meta/llama-3.1-8b-instruct"


def test_waiting_ends_once_the_provider_works(
    published: Terminal, base_url: str, workspace: str, upstreams: dict[Style, Upstream]
) -> None:
    upstream = upstreams[Style.OPENAI]
    upstream.faults.status = 503
    with Modelport(base_url, workspace) as client:
        client.inference.providers.create(name="openai", host_url=upstream.host_url)
        upstream.key = None
        with published.popen("nemo", "wait", "inference", "provider", "openai", "--timeout", "60") as waiting:
            assert waiting.stdout is not None
            assert b"Waiting" in waiting.stdout.readline()
            assert client.inference.providers.retrieve("openai").status != "READY"
            upstream.faults.clear()
            out, err = waiting.communicate(timeout=90)
        assert waiting.returncode == 0, (out, err)
        assert client.inference.providers.retrieve("openai").status == "READY"


def test_errors_and_lists(published: Terminal, base_url: str, workspace: str, upstreams: dict[Style, Upstream]) -> None:
    with Modelport(base_url, workspace) as client:
        register(client, upstreams[Style.OPENAI])
    listed = json.loads(
        published.nemo(
            "inference", "providers", "list", "-f", "json", "--filter", '{"name": {"$like": "OPEN"}}', "--sort", "name"
        ).ok()
    )
    assert [one["name"] for one in listed["data"]] == ["openai"]
    again = published.nemo("inference", "providers", "create", "openai", "--host-url", "http://127.0.0.1:9")
    assert again.code != 0
    assert "409" in again.err + again.out
    assert "already exists" in again.err + again.out
    missing = published.nemo("secrets", "get", "none")
    assert missing.code != 0
    assert "404" in missing.err + missing.out
    body = '{"model": "gpt-4", "messages": [{"role": "user", "content": "Hello!"}]}'
    sent = published.nemo("inference", "gateway", "provider", "post", "v1/chat/completions", "openai", "--body", body)
    assert json.loads(sent.ok())["choices"][0]["message"]["content"] == "You said: Hello!"

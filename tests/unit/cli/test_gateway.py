import json
import sys

import pytest

from modelport_testing.nemo import run_here as nemo
from modelport_testing.scripted import Reply, Script, error

GATEWAY = "/apis/inference-gateway/v2/workspaces/default"
CHAT = f"{GATEWAY}/provider/openai/-/v1/chat/completions"


@pytest.mark.parametrize("name", [["--name", "openai"], ["openai"]])
def test_a_request_to_a_provider(script: Script, name: list[str]) -> None:
    script.on("POST", CHAT, Reply(json={"choices": []}))
    body = '{"model": "gpt-4", "messages": []}'
    done = nemo("inference", "gateway", "provider", "post", "v1/chat/completions", *name, "--body", body)
    assert (done.code, json.loads(done.out)) == (0, {"choices": []})
    assert script.requests[0].json == json.loads(body)


@pytest.mark.parametrize("http_method", ["get", "post", "put", "patch", "delete"])
def test_every_method_of_the_other_routes(script: Script, http_method: str) -> None:
    script.on(http_method.upper(), f"{GATEWAY}/model/m1/-/v1/x", Reply(json={"route": "model"}))
    script.on(http_method.upper(), f"{GATEWAY}/openai/-/v1/x", Reply(json={"route": "openai"}))
    gateway = ["inference", "gateway"]
    assert json.loads(nemo(*gateway, "model", http_method, "v1/x", "--name", "m1").out) == {"route": "model"}
    assert json.loads(nemo(*gateway, "openai", http_method, "v1/x").out) == {"route": "openai"}


def test_raw_is_byte_for_byte(script: Script) -> None:
    script.on(
        "GET", f"{GATEWAY}/openai/-/v1/x", Reply(body=b'{"a" :1.0}', headers={"content-type": "application/json"})
    )
    assert nemo("inference", "gateway", "openai", "get", "v1/x", "-f", "raw").out == '{"a" :1.0}'


def test_replies_that_are_no_json(script: Script) -> None:
    script.on("GET", f"{GATEWAY}/openai/-/v1/text", Reply(body=b"plain", headers={"content-type": "text/plain"}))
    script.on("GET", f"{GATEWAY}/openai/-/v1/none", Reply(204))
    script.on("GET", f"{GATEWAY}/openai/-/v1/bin", Reply(body=b"RIFF", headers={"content-type": "audio/wav"}))
    openai = ["inference", "gateway", "openai", "get"]
    assert nemo(*openai, "v1/text").out == "plain\n"
    assert nemo(*openai, "v1/none").out == ""
    assert nemo(*openai, "v1/bin").out == "RIFF"


def test_a_stream_is_shown_event_by_event(script: Script) -> None:
    parts = [b'data: {"n": 1}\n\n', b'data: {"n": 2}\n\n', b"data: [DONE]\n\n"]
    script.on("POST", CHAT, Reply(headers={"content-type": "text/event-stream"}, parts=parts))
    done = nemo(
        *["inference", "gateway", "provider", "post", "v1/chat/completions", "--name", "openai"],
        *["--input-file", "-"],
        stdin='{"stream": true}',
    )
    assert done.out == '{"n": 1}\n{"n": 2}\n'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["provider", "post", "v1/x"], "--name is missing"),
        (["provider", "post", "v1/x", "a1", "--name", "b1"], "give the name once"),
        (["openai", "post", "v1/x", "--body", "{", "--input-data", "{}"], "give one of"),
        (["openai", "post", "v1/x", "--body", "{"], "--body is neither JSON nor YAML"),
        (["openai", "get", "../../x"], "dot segments"),
        (["openai", "get", "v1/models", "-f", "csv"], "a reply cannot be shown as csv"),
        (["provider", "post", "v1/x", "p1", "--body", '{"stream": true}', "-f", "csv"], "cannot be shown as csv"),
        (["openai", "trace", "x"], "No such command"),
    ],
)
def test_wrong_usage(script: Script, arguments: list[str], message: str) -> None:
    done = nemo("inference", "gateway", *arguments)
    assert done.code == 2
    assert message in done.err
    assert not script.requests


def test_ready(script: Script) -> None:
    path = f"{GATEWAY}/provider/openai/ready"
    ready = {"ready": True, "provider": "default/openai", "host_url": "http://x"}
    script.on("GET", path, Reply(404, json=error(404, "not_ready", "openai is not ready")), Reply(json=ready))
    command = ["inference", "gateway", "provider", "ready", "openai"]
    assert nemo(*command).code == 1
    assert json.loads(nemo(*command).out) == ready


def test_the_sdk_is_loaded_late() -> None:
    """Guards the quick start: nothing that builds the command line may import the SDK."""
    import subprocess

    code = (
        "import sys, modelport_cli.app; print([m for m in ('httpx', 'pydantic', 'rich', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

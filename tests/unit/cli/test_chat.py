import json

import pytest

from modelport_testing.nemo import run_here as nemo
from modelport_testing.scripted import Reply, Script, error, model, provider, virtual_model

GATEWAY = "/apis/inference-gateway/v2/workspaces/default"
PROVIDERS = "/apis/models/v2/workspaces/default/providers"
MODELS = "/apis/models/v2/workspaces/default/models"
VIRTUAL_MODELS = f"{GATEWAY}/virtual-models"
OPENAI = f"{GATEWAY}/openai/-/v1/chat/completions"
SSE = {"content-type": "text/event-stream"}


def chunks(*texts: str) -> Reply:
    parts = [f"data: {json.dumps({'choices': [{'delta': {'content': text}}]})}\n\n".encode() for text in texts]
    return Reply(headers=SSE, parts=[*parts, b"data: [DONE]\n\n"])


def serves(name: str, served_id: str, entity: str) -> Reply:
    served = [{"model_entity_id": f"default/{entity}", "served_model_name": served_id}]
    return Reply(json=provider(name, served_models=served))


def test_with_a_provider_the_model_goes_as_typed(script: Script) -> None:
    model_id = "nvidia/llama-3.3-nemotron-super-49b-v1"
    path = f"{GATEWAY}/provider/my-nvidia-build/-/v1/chat/completions"
    script.on("GET", f"{PROVIDERS}/my-nvidia-build", serves("my-nvidia-build", model_id, "nemotron"))
    script.on("GET", f"{MODELS}/nemotron", Reply(json=model("nemotron")))
    script.on("POST", path, chunks("Hel", "lo!"))
    done = nemo("chat", model_id, "Hello!", "--provider", "my-nvidia-build")
    assert (done.code, done.out, done.err) == (0, "Hello!\n", "")
    assert script.asked("POST", path)[0].json == {
        "stream": True,
        "model": model_id,
        "messages": [{"role": "user", "content": "Hello!"}],
    }


def test_without_a_provider_through_the_openai_route(script: Script) -> None:
    script.on("POST", OPENAI, chunks("Hi\n"))
    done = nemo(
        *["chat", "gpt-4", "Hello!", "--system-message", "Be brief", "--temperature", "0.5", "--max-tokens", "9"]
    )
    assert (done.code, done.out) == (0, "Hi\n")
    body = script.asked("POST", OPENAI)[0].json
    assert body["messages"][0] == {"role": "system", "content": "Be brief"}
    assert (body["temperature"], body["max_tokens"]) == (0.5, 9)


@pytest.mark.parametrize("typed", ["claude-opus", "default/claude-opus"])
def test_anthropics_dialect_where_the_entity_says_so(script: Script, typed: str) -> None:
    script.on("GET", f"{VIRTUAL_MODELS}/claude-opus", Reply(json=virtual_model(models=[{"model": "default/c1"}])))
    script.on("GET", f"{MODELS}/c1", Reply(json=model("c1", backend_format="ANTHROPIC_MESSAGES")))
    events = [
        b'event: message_start\ndata: {"type": "message_start", "message": {}}\n\n',
        b'event: content_block_delta\ndata: {"type": "content_block_delta", "delta": {"text": "Hi"}}\n\n',
        b'event: message_stop\ndata: {"type": "message_stop"}\n\n',
    ]
    script.on("POST", f"{GATEWAY}/openai/-/v1/messages", Reply(headers=SSE, parts=events))
    done = nemo("chat", typed, "Hello!")
    assert (done.code, done.out) == (0, "Hi\n")
    assert script.asked("POST", f"{GATEWAY}/openai/-/v1/messages")[0].json["max_tokens"] == 1024


def test_anthropics_dialect_through_a_provider(script: Script) -> None:
    script.on("GET", f"{PROVIDERS}/anthropic", serves("anthropic", "claude-opus-4-1", "c1"))
    script.on("GET", f"{MODELS}/c1", Reply(json=model("c1", backend_format="ANTHROPIC_MESSAGES")))
    reply = {"type": "message", "content": [{"type": "text", "text": "whole"}]}
    script.on("POST", f"{GATEWAY}/provider/anthropic/-/v1/messages", Reply(json=reply))
    assert nemo("chat", "claude-opus-4-1", "Hello!", "--provider", "anthropic").out == "whole\n"


def test_a_target_may_say_its_dialect(script: Script) -> None:
    target = {"model": "default/x1", "backend_format": "ANTHROPIC_MESSAGES"}
    script.on("GET", f"{VIRTUAL_MODELS}/fast", Reply(json=virtual_model(models=[target])))
    reply = {"type": "message", "content": [{"type": "text", "text": "ok"}]}
    script.on("POST", f"{GATEWAY}/openai/-/v1/messages", Reply(json=reply))
    assert nemo("chat", "fast", "Hello!").out == "ok\n"


def test_the_whole_reply(script: Script) -> None:
    whole = b'{"id": "c", "choices": [{"message": {"content": "Hi"}}]}'
    script.on("POST", OPENAI, Reply(body=whole, headers={"content-type": "application/json"}))
    assert json.loads(nemo("chat", "gpt-4", "Hello!", "-f", "json").out) == json.loads(whole)
    assert nemo("chat", "gpt-4", "Hello!", "-f", "raw").out.encode() == whole
    assert "stream" not in script.asked("POST", OPENAI)[0].json


def test_a_prompt_from_a_pipe_and_one_that_is_typed(script: Script) -> None:
    script.on("POST", OPENAI, chunks("Hi"))
    nemo("chat", "gpt-4", stdin="What is\nthis?\n")
    nemo("chat", "gpt-4", "typed", stdin="piped")
    asked = [one.json["messages"][-1]["content"] for one in script.asked("POST", OPENAI)]
    assert asked == ["What is\nthis?", "typed"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["gpt-4"], "", "stdin is empty: there is nothing to ask"),
        (["gpt-4", "  "], "", "the prompt is empty"),
        (["gpt-4", "x", "-f", "csv"], "", "cannot be shown as csv"),
        (["gpt-4", "x", "--temperature", "3"], "", "--temperature"),
        ([], "", "Missing argument"),
    ],
)
def test_wrong_usage(script: Script, arguments: list[str], stdin: str, message: str) -> None:
    done = nemo("chat", *arguments, stdin=stdin)
    assert done.code == 2
    assert message in done.err
    assert not script.requests


def test_a_provider_that_does_not_exist(script: Script) -> None:
    script.on("GET", f"{PROVIDERS}/nope", Reply(404, json=error(404, "not_found", "no provider nope in default")))
    done = nemo("chat", "gpt-4", "Hello!", "--provider", "nope")
    assert done.code == 1
    assert "Error: no provider nope in default (HTTP 404)" in done.err


def test_a_provider_of_another_dialect(script: Script) -> None:
    script.on("GET", f"{PROVIDERS}/odd", Reply(json=provider("odd")))
    upstream = Reply(404, json={"error": {"message": "no route"}}, headers={"x-modelport-error-origin": "upstream"})
    script.on("POST", f"{GATEWAY}/provider/odd/-/v1/chat/completions", upstream)
    done = nemo("chat", "m1", "Hello!", "--provider", "odd")
    assert done.code == 1
    assert "the provider answered 404 to v1/chat/completions: no route" in done.err
    assert "another dialect" in done.err


def test_an_answer_that_is_cut(script: Script) -> None:
    parts = [b'data: {"choices": [{"delta": {"content": "Hel"}}]}\n\n']
    script.on("POST", OPENAI, Reply(headers=SSE, parts=parts, cut=True))
    done = nemo("chat", "gpt-4", "Hello!")
    assert (done.code, done.out) == (1, "Hel\n")
    assert "Error: the stream was cut off" in done.err


def test_an_error_within_an_answer(script: Script) -> None:
    parts = [b'event: error\ndata: {"error": {"message": "overloaded"}}\n\n']
    script.on("POST", OPENAI, Reply(headers=SSE, parts=parts))
    done = nemo("chat", "gpt-4", "Hello!")
    assert (done.code, done.out, done.err) == (1, "", "Error: overloaded\n")


def test_an_answer_without_text(script: Script) -> None:
    script.on("POST", OPENAI, Reply(headers=SSE, parts=[b"data: [DONE]\n\n"]))
    done = nemo("chat", "gpt-4", "Hello!")
    assert (done.code, done.err) == (0, "The model answered without text.\n")


def test_a_reply_that_is_no_json(script: Script) -> None:
    script.on("POST", OPENAI, Reply(body=b"<html>", headers={"content-type": "text/html"}))
    done = nemo("chat", "gpt-4", "Hello!")
    assert done.code == 1
    assert "is no JSON" in done.err


def test_a_model_that_does_not_exist(script: Script) -> None:
    done = nemo("chat", "nope", "Hello!")
    assert done.code == 1
    assert "Hint: `nemo inference models list` shows what can be called" in done.err


def test_a_key_that_the_provider_refuses(script: Script) -> None:
    refused = Reply(401, json={"error": {"message": "wrong key"}}, headers={"x-modelport-error-origin": "upstream"})
    script.on("POST", OPENAI, refused)
    done = nemo("chat", "gpt-4", "Hello!")
    assert done.code == 1
    assert done.err.startswith("Error: wrong key (HTTP 401)\nHint: The provider refused its API key")

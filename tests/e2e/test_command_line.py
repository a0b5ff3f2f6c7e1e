"""`nemo` as a process against the whole platform; what it does alone is tested without one."""

import json
import time

from modelport import Modelport
from modelport_testing.canaries import Kind, canary
from modelport_testing.journeys import GATEWAY, own_workspace, register
from modelport_testing.providers import Style
from modelport_testing.terminal import Terminal
from modelport_testing.upstreams import Upstream

WRONG_KEY = canary(Kind.PROVIDER, "sk-wrong-")
TOKEN_INTERVAL_S = 0.1


def test_chat_shows_tokens_as_they_come(
    terminal: Terminal, client: Modelport, upstreams: dict[Style, Upstream]
) -> None:
    upstream = upstreams[Style.NVIDIA]
    register(client, upstream)
    upstream.faults.token_interval_s = TOKEN_INTERVAL_S
    words = " ".join(f"word{number}" for number in range(12))
    with terminal.popen("nemo", "chat", "meta/llama-3.1-8b-instruct", words, "--provider", "nvidia") as chat:
        assert chat.stdout is not None
        first = chat.stdout.read(1)
        seen_first = time.monotonic()
        rest = chat.stdout.read()
        seen_last = time.monotonic()
        assert chat.wait() == 0
    assert (first + rest).decode() == f"You said: {words}\n"
    # 14 words follow the first one, each after the interval: they cannot all have come with it.
    assert seen_last - seen_first > 6 * TOKEN_INTERVAL_S


def test_chat_in_each_dialect_with_and_without_a_provider(
    terminal: Terminal, client: Modelport, upstreams: dict[Style, Upstream]
) -> None:
    for upstream in upstreams.values():
        register(client, upstream)
    chats = [
        ("gpt-3.5-turbo", "--provider", "openai"),
        ("nvidia/llama-3.3-nemotron-super-49b-v1", "--provider", "nvidia"),
        ("claude-3-haiku-20240307", "--provider", "anthropic"),
        ("gpt-3-5-turbo",),
        ("meta/llama-3.1-8b-instruct",),
        ("claude-3-haiku-20240307",),
    ]
    for model, *flags in chats:
        assert terminal.nemo("chat", model, "Hello!", *flags).ok() == "You said: Hello!\n", model
    piped = terminal.nemo("chat", "gpt-4", "--system-message", "Be brief.", "--max-tokens", "9", stdin="From a pipe\n")
    assert piped.ok() == "You said: From a pipe\n"
    request = upstreams[Style.OPENAI].requests_to("/v1/chat/completions")[-1].json()
    assert request["messages"][0] == {"role": "system", "content": "Be brief."}
    assert request["max_tokens"] == 9
    whole = json.loads(terminal.nemo("-f", "json", "chat", "gpt-4", "Hello!").ok())
    assert whole["choices"][0]["message"]["content"] == "You said: Hello!"


def test_get_url_in_all_its_forms(
    terminal: Terminal, client: Modelport, base_url: str, workspace: str, openai_upstream: Upstream
) -> None:
    route = f"{base_url}{GATEWAY}/{workspace}"
    client.inference.providers.create(name="p1", host_url=openai_upstream.host_url)
    client.inference.virtual_models.create(name="m1", default_model_entity=f"{workspace}/gpt-4")
    assert terminal.nemo("inference", "get-url").ok() == f"{route}/openai/-/v1\n"
    assert terminal.nemo("inference", "get-url", "--provider", "p1").ok() == f"{route}/provider/p1/-\n"
    assert terminal.nemo("inference", "get-url", "--virtual-model", "m1").ok() == f"{route}/model/m1/-\n"
    with own_workspace(base_url) as other:
        elsewhere = terminal.nemo("--workspace", other, "inference", "get-url").ok()
    assert elsewhere == f"{base_url}{GATEWAY}/{other}/openai/-/v1\n"
    unknown = terminal.nemo("--workspace", "nobodys", "inference", "get-url")
    assert (unknown.code, unknown.out) == (1, "")
    assert "nobodys" in unknown.err
    for flag in ("--provider", "--virtual-model"):
        missing = terminal.nemo("inference", "get-url", flag, "nobody")
        assert (missing.code, missing.out) == (1, "")
        assert "nobody" in missing.err
        assert "HTTP 404" in missing.err
    both = terminal.nemo("inference", "get-url", "--provider", "p1", "--virtual-model", "m1")
    assert both.code == 2
    assert both.out == ""


def test_wait_tells_what_is_wrong_and_gives_up_in_time(
    terminal: Terminal, client: Modelport, openai_upstream: Upstream
) -> None:
    openai_upstream.may_get(WRONG_KEY)
    client.secrets.create(name="wrong-key", value=WRONG_KEY)
    client.inference.providers.create(name="openai", host_url=openai_upstream.host_url, api_key_secret_name="wrong-key")
    done = terminal.nemo("wait", "inference", "provider", "openai", "--timeout", "3")
    assert done.code == 1
    assert "ERROR" in done.err
    assert "wrong-key" in done.err
    assert "Traceback" not in done.err
    assert WRONG_KEY not in done.err + done.out
    missing = terminal.nemo("wait", "inference", "provider", "nobody", "--timeout", "3")
    assert missing.code == 1
    assert "nobody" in missing.err


def test_any_request_through_the_gateway(terminal: Terminal, client: Modelport, openai_upstream: Upstream) -> None:
    register(client, openai_upstream)
    gateway = ("inference", "gateway")
    body = ("--body", '{"model": "gpt-4", "messages": [{"role": "user", "content": "Hi"}]}')
    for route in (
        ("provider", "post", "v1/chat/completions", "--name", "openai"),
        ("openai", "post", "v1/chat/completions"),
    ):
        reply = json.loads(terminal.nemo(*gateway, *route, *body).ok())
        assert reply["choices"][0]["message"]["content"] == "You said: Hi"
    listed = json.loads(terminal.nemo(*gateway, "provider", "get", "v1/models", "--name", "openai").ok())
    assert len(listed["data"]) == 3
    refused = terminal.nemo(*gateway, "provider", "post", "v1/chat/completions", "--name", "openai", "--body", "{}")
    assert refused.code == 1
    assert "the model does not exist" in refused.err


def test_status_and_what_can_be_called(
    terminal: Terminal, client: Modelport, openai_upstream: Upstream, workspace: str
) -> None:
    register(client, openai_upstream, enabled_models=["gpt-4"])
    status = json.loads(terminal.nemo("status", "-f", "json").ok())
    assert status["status"] == "ready"
    assert status["providers"]["READY"] >= 1
    (only,) = json.loads(terminal.nemo("inference", "models", "list", "-f", "json").ok())
    assert only["id"] == f"{workspace}/gpt-4"
    assert json.loads(terminal.nemo("cluster-info", "-f", "json").ok())["platform_version"]


def test_a_virtual_model_made_before_its_target(
    terminal: Terminal, client: Modelport, openai_upstream: Upstream, workspace: str
) -> None:
    made = terminal.nemo("inference", "virtual-models", "create", "fast", "--default-model-entity", "gpt-4")
    assert made.code == 0
    assert f"Warning: target {workspace}/gpt-4 does not exist yet" in made.err
    chat = terminal.nemo("chat", "fast", "Hello!")
    assert chat.code == 1
    assert f"{workspace}/gpt-4 does not exist; register a provider that serves it" in chat.err
    assert "nemo inference virtual-models get" in chat.err
    again = terminal.nemo("inference", "virtual-models", "create", "fast")
    assert again.code == 1
    assert "`nemo inference virtual-models patch fast`" in again.err
    register(client, openai_upstream)
    shown = terminal.nemo("inference", "virtual-models", "get", "fast")
    assert (shown.code, shown.err) == (0, "")
    assert terminal.nemo("chat", "fast", "Hello!").ok() == "You said: Hello!\n"


def test_deleting_a_secret_names_the_providers_that_lose_it(
    terminal: Terminal, client: Modelport, openai_upstream: Upstream
) -> None:
    openai_upstream.may_get(WRONG_KEY)
    for key in ("used-key", "other-key"):
        client.secrets.create(name=key, value=WRONG_KEY)
        client.inference.providers.create(
            name=f"with-{key}", host_url=openai_upstream.host_url, api_key_secret_name=key
        )
    deleted = terminal.nemo("secrets", "delete", "used-key")
    assert deleted.code == 0
    assert deleted.err.splitlines()[1].startswith("Warning: provider with-used-key names it: ")


def test_a_platform_that_is_away_is_said_so(terminal: Terminal) -> None:
    done = terminal.nemo("--base-url", "http://127.0.0.1:9", "inference", "providers", "list")
    assert done.code == 1
    assert "http://127.0.0.1:9" in done.err
    assert "Traceback" not in done.err


def test_an_empty_secret_is_not_stored(terminal: Terminal, client: Modelport) -> None:
    done = terminal.nemo("secrets", "create", "empty-key", "--from-file", "-", stdin="\n")
    assert done.code in {1, 2}
    assert "empty" in done.err
    assert client.secrets.list().data == []

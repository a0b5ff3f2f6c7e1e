"""The whole platform as `nemo services run` starts it: any of its processes may be killed, nothing is lost."""

import os
import signal
from collections.abc import Iterator

import httpx
import pytest

from modelport_testing.canaries import Kind, canary
from modelport_testing.polling import eventually_sync
from modelport_testing.providers import Style
from modelport_testing.stack import LocalStack, is_running
from modelport_testing.upstreams import Upstream, start_upstream

KEY = canary(Kind.PROVIDER, "sk-simulated-")
CONTROL = {
    "secrets": "/apis/secrets/v2/workspaces/default/secrets",
    "providers": "/apis/models/v2/workspaces/default/providers",
}
CHAT = "/apis/inference-gateway/v2/workspaces/default/provider/openai/-/v1/chat/completions"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with start_upstream(Style.OPENAI, key=KEY) as running:
        yield running


def register(stack: LocalStack, upstream: Upstream) -> None:
    with httpx.Client(base_url=stack.base_url) as client:
        client.post(CONTROL["secrets"], json={"name": "openai-key", "value": KEY}).raise_for_status()
        provider = {"name": "openai", "host_url": upstream.host_url, "api_key_secret_name": "openai-key"}
        client.post(CONTROL["providers"], json=provider).raise_for_status()


def chat_works(stack: LocalStack) -> bool:
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": "Hello"}]}
    answer = httpx.post(stack.base_url + CHAT, json=body)
    return answer.status_code == 200 and "You said: Hello" in answer.text


def everything_is_there(stack: LocalStack) -> bool:
    for kind, name in (("secrets", "openai-key"), ("providers", "openai")):
        answer = httpx.get(f"{stack.base_url}{CONTROL[kind]}/{name}")
        if answer.status_code != 200:
            return False
    return True


def all_right(stack: LocalStack) -> None:
    eventually_sync(lambda: chat_works(stack), 15, ignoring=(httpx.HTTPError,))
    eventually_sync(lambda: everything_is_there(stack), 15, ignoring=(httpx.HTTPError,))


def test_it_survives_the_death_of_each_part_and_of_itself(own_stack: LocalStack, upstream: Upstream) -> None:
    register(own_stack, upstream)
    all_right(own_stack)
    for part, pid in own_stack.pids.items():
        os.kill(pid, signal.SIGKILL)
        eventually_sync(lambda part=part: f"{part} is ready again" in own_stack.console, 20)  # type: ignore[misc]
        all_right(own_stack)

    pids = own_stack.pids
    own_stack.kill()
    eventually_sync(lambda: not any(is_running(pid) for pid in pids.values()), 2)
    own_stack.start()
    all_right(own_stack)
    assert own_stack.stop() == 0
    assert KEY not in own_stack.console
    assert not [part for part in own_stack.pids if KEY in own_stack.log(part)]


def test_the_first_steps_work_as_printed(own_stack: LocalStack) -> None:
    _, _, steps = own_stack.console.partition("In another terminal:\n")
    commands = [line.strip() for line in steps.splitlines() if line.startswith("  ")]
    assert len(commands) == 3
    for command in commands:
        status = os.system(f"cd / && env -i HOME=/nonexistent PATH=/usr/bin:/bin {command} >/dev/null")
        assert status == 0, command

"""The stack as people deploy it: what a user does through the edge, on both gateways, and what outlives a restart."""

import itertools
import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import httpx
import pytest

from modelport_contracts.errors import error_body
from modelport_testing.compose import ComposeStack, docker
from modelport_testing.polling import eventually_sync
from modelport_testing.upstreams import Upstream

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1200)]

BIN = Path(sys.executable).parent
CHAT = {"model": "gpt-4", "messages": [{"role": "user", "content": "Hello!"}]}
PROVIDERS = "/apis/models/v2/workspaces/default/providers"
INFERENCE = "/apis/inference-gateway/v2/workspaces/default"


def shell(stack: ComposeStack, folder: Path, script: str, **variables: str) -> str:
    """Run commands as a user would type them, with `nemo` pointed at the edge; return what they print."""
    environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(folder), "NMP_BASE_URL": stack.url, **variables}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=environment,
        capture_output=True,
        timeout=120,
        check=False,
        text=True,
    )
    assert done.returncode == 0, f"{script}\nended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def add_provider(client: httpx.Client, upstream: Upstream) -> str:
    """Store the upstream's key and register it under a fresh name; return that once its models are known."""
    name = f"p-{uuid.uuid4().hex[:8]}"
    secret = {"name": f"{name}-key", "value": upstream.key}
    client.post("/apis/secrets/v2/workspaces/default/secrets", json=secret).raise_for_status()
    provider = {"name": name, "host_url": upstream.host_url, "api_key_secret_name": f"{name}-key"}
    client.post(PROVIDERS, json=provider).raise_for_status()
    eventually_sync(lambda: client.get(f"{PROVIDERS}/{name}").json()["status"] == "READY", timeout=30)
    return name


def test_store_a_key_register_a_provider_chat(
    stack: ComposeStack, tmp_path: Path, nvidia: Upstream, openai: Upstream, anthropic: Upstream
) -> None:
    # docs/wire.md, 6, with hosts and keys of our own.
    nvidia_key, openai_key, anthropic_key = (str(upstream.key) for upstream in (nvidia, openai, anthropic))
    chatted = shell(
        stack,
        tmp_path,
        """
        echo "$NVIDIA_API_KEY" | nemo secrets create "nvidia-api-key" --from-file - >&2
        nemo inference providers create "my-nvidia-build" --host-url "$NVIDIA" \
          --api-key-secret-name "nvidia-api-key" >&2
        nemo wait inference provider my-nvidia-build >&2
        nemo chat nvidia/llama-3.3-nemotron-super-49b-v1 'Hello!' --provider my-nvidia-build
        """,
        NVIDIA=nvidia.host_url,
        NVIDIA_API_KEY=nvidia_key,
    )
    assert "You said: Hello!" in chatted
    assert nvidia.requests[-1].header("authorization") == f"Bearer {nvidia.key}"

    chatted = shell(
        stack,
        tmp_path,
        """
        echo "$OPENAI_API_KEY" | nemo secrets create "openai-api-key" --from-file - >&2
        nemo inference providers create "openai" --host-url "$OPENAI" --api-key-secret-name "openai-api-key" \
          --enabled-models "gpt-4" --enabled-models "gpt-3.5-turbo" >&2
        nemo wait inference provider openai >&2
        nemo chat gpt-4 'Hello!' --provider openai
        """,
        OPENAI=openai.host_url,
        OPENAI_API_KEY=openai_key,
    )
    assert "You said: Hello!" in chatted

    shell(
        stack,
        tmp_path,
        """
        echo "$ANTHROPIC_API_KEY" | nemo secrets create "anthropic-api-key" --from-file -
        nemo inference providers create "anthropic" --host-url "$ANTHROPIC" --api-key-secret-name "anthropic-api-key" \
          --auth-header-format "X-Api-Key: {{ auth_secret }}" \
          --default-extra-headers '{"anthropic-version": "2023-06-01"}'
        nemo wait inference provider anthropic
        """,
        ANTHROPIC=anthropic.host_url,
        ANTHROPIC_API_KEY=anthropic_key,
    )
    assert anthropic.requests[-1].header("x-api-key") == anthropic.key

    assert "nvidia-build" in shell(stack, tmp_path, "nemo inference providers list --workspace system")
    addresses = shell(
        stack,
        tmp_path,
        """
        nemo inference get-url
        nemo inference get-url --provider openai
        nemo inference get-url --virtual-model gpt-4
        """,
    )
    base = stack.url + INFERENCE
    assert addresses.split() == [f"{base}/openai/-/v1", f"{base}/provider/openai/-", f"{base}/model/gpt-4/-"]


def test_nothing_inside_is_a_provider(stack: ComposeStack) -> None:
    # docs/wire.md, 3.6: the one address outside that the test allows is the simulated providers'.
    with httpx.Client(base_url=stack.url, timeout=30) as client:
        for address in ("169.254.169.254", "172.17.255.254", "127.0.0.1"):
            reply = client.put(f"{PROVIDERS}/inside", json={"host_url": f"http://{address}"})
            assert (reply.status_code, reply.json()["detail"][0]["type"]) == (422, "egress_refused")
        client.put(f"{PROVIDERS}/inside", json={"host_url": "http://secrets:8082"}).raise_for_status()
        eventually_sync(lambda: client.get(f"{PROVIDERS}/inside").json()["status"] == "ERROR", timeout=30)
        message = client.get(f"{PROVIDERS}/inside").json()["status_message"]
        assert message.startswith("http://secrets:8082 must not be called: ")
        assert "is a private address" in message
        assert "MODELPORT_EGRESS_ALLOW" in message
        client.delete(f"{PROVIDERS}/inside").raise_for_status()


def test_every_gateway_serves(stack: ComposeStack, openai: Upstream) -> None:
    with httpx.Client(base_url=stack.url, timeout=30) as client:
        name = add_provider(client, openai)
        path = f"{INFERENCE}/provider/{name}/-/chat/completions"
        for _ in range(20):
            assert client.post(path, json=CHAT).status_code == 200
    gateways = [container["Name"] for container in stack.containers("gateway")]
    assert len(gateways) == 2
    for gateway in gateways:
        eventually_sync(lambda gateway=gateway: path in stack.log_of(gateway))  # type: ignore[misc]


def test_stream_passes_the_edge_as_it_comes(stack: ComposeStack, openai: Upstream) -> None:
    with httpx.Client(base_url=stack.url, timeout=30) as client:
        name = add_provider(client, openai)
        openai.faults.token_interval_s = 0.3
        arrivals = []
        try:
            path = f"{INFERENCE}/provider/{name}/-/chat/completions"
            with client.stream("POST", path, json={**CHAT, "stream": True}) as reply:
                for line in reply.iter_lines():
                    if line.startswith("data:"):
                        arrivals.append(time.monotonic())
        finally:
            openai.faults.clear()
    gaps = [after - before for before, after in itertools.pairwise(arrivals)]
    assert sum(gap > 0.15 for gap in gaps) >= 2, gaps


def test_only_the_edge_is_reachable(stack: ComposeStack) -> None:
    published = {
        container["Service"]: port["URL"]
        for container in stack.containers()
        for port in container["Publishers"] or []
        if port["PublishedPort"]
    }
    assert published == {"edge": "127.0.0.1"}


def test_nothing_has_roots_powers_or_writes_where_it_need_not(stack: ComposeStack) -> None:
    running = [container for container in stack.containers() if container["State"] == "running"]
    assert len(running) == 8
    for container in running:
        name, service = container["Name"], container["Service"]
        (settings,) = json.loads(docker("inspect", "--format=[{{json .HostConfig}}]", name))
        assert settings["ReadonlyRootfs"], service
        assert settings["CapDrop"] == ["ALL"], service
        assert bool(settings["CapAdd"]) is (service == "postgres"), service
        assert settings["SecurityOpt"] == ["no-new-privileges:true"], service
        # What the kernel says of the server itself, whoever its entrypoint was.
        status = dict(line.split(":", 1) for line in _in(name, "cat", "/proc/1/status").splitlines() if ":" in line)
        assert int(status["CapEff"], 16) == 0, service
        assert status["NoNewPrivs"].strip() == "1", service
        assert (status["Uid"].split()[0] == "0") is (service == "nats"), service
    for container in running:
        refused = _in(container["Name"], "sh", "-c", "echo x 2>&1 >/forbidden || true")
        assert "read-only file system" in refused.lower(), container["Service"]


def _in(container: str, *command: str) -> str:
    return docker("exec", container, *command)


def test_the_services_rights_on_nats_are_their_own(stack: ComposeStack) -> None:
    # A gateway, which talks to the outside world, can neither forge a change nor touch the stream, nor read replies.
    script = """
import asyncio, os, nats
async def main():
    refused = asyncio.Queue()
    client = await nats.connect(os.environ["MODELPORT_NATS_URL"], error_cb=refused.put)
    for subject in ("modelport.v1.models.provider.forged.forged", "$JS.API.STREAM.PURGE.MODELPORT"):
        await client.publish(subject, b"{}")
    await client.subscribe("_INBOX_models.>")
    for _ in range(3):
        print(await asyncio.wait_for(refused.get(), 10))
    await client.close()
asyncio.run(main())
"""
    printed = stack.compose("exec", "-T", "--index=1", "gateway", "python", "-c", script).lower()
    assert printed.count("permissions violation") == 3
    for subject in ("modelport.v1.models.provider.forged.forged", "$js.api.stream.purge.modelport", "_inbox_models.>"):
        assert f'"{subject}"' in printed


def test_valkey_lets_in_the_gateway_alone(stack: ComposeStack) -> None:
    script = """
import os, redis
def attempt(url, *command):
    try:
        return redis.Redis.from_url(url).execute_command(*command)
    except redis.RedisError as error:
        return type(error).__name__
own = os.environ["MODELPORT_REDIS_URL"]
print(attempt(own, "PING"), attempt(own, "FLUSHALL"), attempt(own, "SET", "other", "1"))
print(attempt("redis://valkey:6379/0", "PING"))
"""
    printed = stack.compose("exec", "-T", "--index=1", "gateway", "python", "-c", script)
    assert printed.splitlines() == ["True NoPermissionError NoPermissionError", "AuthenticationError"]
    for service in ("models", "secrets"):
        environment = stack.compose("exec", "-T", service, "env")
        assert "REDIS" not in environment


def test_data_outlive_restart_and_replacement(stack: ComposeStack, openai: Upstream) -> None:
    def chat(name: str) -> None:
        with httpx.Client(base_url=stack.url, timeout=30) as client:
            reply = client.post(f"{INFERENCE}/provider/{name}/-/chat/completions", json=CHAT)
        assert reply.status_code == 200, reply.text
        assert openai.requests[-1].header("authorization") == f"Bearer {openai.key}"

    with httpx.Client(base_url=stack.url, timeout=30) as client:
        name = add_provider(client, openai)
        before = client.get(f"{PROVIDERS}/{name}").json()
    chat(name)

    stack.compose("restart", "--timeout=10")
    stack.up("--no-build", "--no-recreate")
    chat(name)

    stack.down()
    assert stack.containers() == []
    assert "nothing changed" in stack.make_keys()
    stack.up("--no-build")
    chat(name)
    with httpx.Client(base_url=stack.url, timeout=30) as client:
        after = client.get(f"{PROVIDERS}/{name}").json()
    assert {key: after[key] for key in ("id", "created_at", "host_url", "served_models")} == {
        key: before[key] for key in ("id", "created_at", "host_url", "served_models")
    }


def test_gateways_may_go_and_come(stack: ComposeStack) -> None:
    address = stack.url
    stack.compose("stop", "--timeout=10", "gateway")
    reply = eventually_sync(lambda: _get(f"{address}/health/ready", 503), timeout=20)
    assert reply.headers["retry-after"] == "1"
    assert reply.headers["x-modelport-error-origin"] == "gateway"
    message = "no gateway is ready; try again in a moment"
    assert json.loads(reply.content) == error_body(503, "no_gateway", message)

    stack.up("--no-build", "--scale=gateway=3")
    assert stack.url == address
    names = eventually_sync(lambda: _gateways_behind(address, 3), timeout=30)
    assert len(names) == 3

    stack.up("--no-build", "--scale=gateway=2")
    eventually_sync(lambda: _get(f"{address}/health/ready", 200), timeout=20)


def _get(url: str, status: int) -> httpx.Response:
    reply = httpx.get(url, timeout=10)
    assert reply.status_code == status, reply.text
    return reply


def _gateways_behind(address: str, expected: int) -> set[str]:
    names = {httpx.get(f"{address}/status", timeout=10).json()["gateways"][0]["id"] for _ in range(4 * expected)}
    return names if len(names) == expected else set()

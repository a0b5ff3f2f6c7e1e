"""Stacks that are started again on the same data: after a crash of the supervisor, with another NGC_API_KEY."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelport import Modelport
from modelport_testing.canaries import Kind, canary
from modelport_testing.journeys import GATEWAY, register
from modelport_testing.polling import eventually_sync
from modelport_testing.providers import Style
from modelport_testing.stack import LocalStack, is_running
from modelport_testing.upstreams import Upstream

CHILDREN_END_S = 2.0
QUICK = {"MODELPORT_LAME_DUCK_S": "0"}
"""There is no edge before these gateways that would have to look elsewhere first."""


@contextlib.contextmanager
def started(stack: LocalStack) -> Iterator[Modelport]:
    stack.start()
    try:
        with Modelport(stack.base_url) as client:
            yield client
    finally:
        stack.close()


def test_all_data_survives_the_supervisors_death(tmp_path: Path, openai_upstream: Upstream) -> None:
    stack = LocalStack(tmp_path / "data", tmp_path / "console.txt", gateways=2, environment=QUICK)
    with started(stack) as client:
        register(client, openai_upstream)
        client.workspaces.create(name="kept", description="of before")
        client.inference.virtual_models.create(name="assistant", models=[{"model": "default/gpt-4"}])
        before = client.inference.providers.retrieve("openai")
        pids = stack.pids
        assert len(pids) == 6
        stack.kill()
        eventually_sync(lambda: not any(is_running(pid) for pid in pids.values()), CHILDREN_END_S)
    with started(stack) as client:
        assert client.workspaces.retrieve("kept").description == "of before"
        assert client.inference.providers.retrieve("openai").id == before.id
        body = {"model": "assistant", "messages": [{"role": "user", "content": "Hello!"}]}
        reply = client.inference.gateway.openai.post("v1/chat/completions", body=body)
        assert reply["choices"][0]["message"]["content"] == "You said: Hello!"
        assert stack.stop() == 0
    assert not any(is_running(pid) for pid in stack.pids.values())


@pytest.fixture
def nvidia_upstream(upstreams: dict[Style, Upstream]) -> Upstream:
    return upstreams[Style.NVIDIA]


def test_the_built_in_key_may_come_later_and_change(tmp_path: Path, nvidia_upstream: Upstream) -> None:
    def point_at_simulation(client: Modelport) -> None:
        client.inference.providers.update(
            "nvidia-build",
            host_url=nvidia_upstream.host_url,
            api_key_secret_name="ngc-api-key",
            workspace="system",
        )

    def ask(client: Modelport) -> httpx.Response:
        return httpx.get(f"{client.base_url}{GATEWAY}/system/provider/nvidia-build/-/v1/echo")

    def status(client: Modelport, wanted: str) -> Any:
        def there() -> Any:
            found = client.inference.providers.retrieve("nvidia-build", workspace="system")
            assert found.status == wanted, (found.status, found.status_message)
            return found

        return eventually_sync(there, 20)

    without = LocalStack(tmp_path / "data", tmp_path / "console.txt", environment=QUICK)
    with started(without) as client:
        # Ready without it: the built-in provider alone says what is missing.
        assert httpx.get(f"{client.base_url}/health/ready").status_code == 200
        point_at_simulation(client)
        assert "ngc-api-key" in status(client, "ERROR").status_message
        assert ask(client).status_code == 424
        assert nvidia_upstream.requests == []
        with pytest.raises(Exception, match="NGC_API_KEY") as refused:
            client.secrets.update("ngc-api-key", value="x", workspace="system")
        assert getattr(refused.value, "status_code", None) == 403

    assert nvidia_upstream.key is not None
    for key in (nvidia_upstream.key, canary(Kind.PROVIDER, "nvapi-another-")):
        nvidia_upstream.key = key
        stack = LocalStack(tmp_path / "data", tmp_path / "console.txt", environment={"NGC_API_KEY": key, **QUICK})
        with started(stack) as client:
            status(client, "READY")
            eventually_sync(lambda client=client: ask(client).status_code == 200, 10)  # type: ignore[misc]
            secret = client.secrets.retrieve("ngc-api-key", workspace="system")
            assert key not in repr(secret)
            # Its value is nothing that the other parts have in their environment.
            for part, pid in stack.pids.items():
                if part != "modelport_secrets":
                    assert key.encode() not in Path(f"/proc/{pid}/environ").read_bytes(), part

    # Taken away again.
    with started(without) as client:
        eventually_sync(lambda: ask(client).status_code == 424, 10)

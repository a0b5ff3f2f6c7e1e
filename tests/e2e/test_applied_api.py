"""What a write replies, and asking when every gateway acts on it (docs/wire.md, 3.5)."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from modelport import Modelport, NotFoundError
from modelport_testing.canaries import Kind, canary
from modelport_testing.journeys import GATEWAY, gateway_urls, own_workspace
from modelport_testing.polling import eventually_sync
from modelport_testing.providers import Style
from modelport_testing.services import error_of
from modelport_testing.stack import LocalStack
from modelport_testing.upstreams import Upstream, start_upstream

KEYS = [canary(Kind.PROVIDER, "sk-1-"), canary(Kind.PROVIDER, "sk-2-")]
NO_ONE = {"name": "nobody", "host_url": "http://127.0.0.1:9"}


@pytest.fixture
def workspace(shared_stack: LocalStack) -> Iterator[str]:
    with own_workspace(shared_stack.base_url) as name:
        yield name


@pytest.fixture
def gateways(shared_stack: LocalStack) -> Iterator[list[httpx.Client]]:
    with ExitStack() as opened:
        yield [opened.enter_context(httpx.Client(base_url=url, timeout=30)) for url in gateway_urls(shared_stack)]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with start_upstream(Style.OPENAI) as running:
        yield running


class User:
    """Writes through one gateway and asks another whether all act on it."""

    def __init__(self, gateways: list[httpx.Client], workspace: str) -> None:
        self.gateways = gateways
        self.workspace = workspace

    def write(self, method: str, service: str, path: str, body: dict[str, Any] | None = None) -> str:
        """Return the revision that a write makes."""
        url = f"/apis/{service}/v2/workspaces/{self.workspace}/{path}"
        reply = self.gateways[0].request(method, url, json=body)
        assert reply.is_success, reply.text
        return reply.headers["x-modelport-revision"]

    def ask(self, path: str, **query: str | float) -> httpx.Response:
        return self.gateways[-1].get(f"{GATEWAY}/{self.workspace}/{path}", params=query)

    def applied(self, path: str, revision: str) -> str:
        """Wait for a yes; return whether the thing is there."""
        reply = self.ask(f"applied/{path}", revision=revision, wait=20)
        assert reply.status_code == 200, reply.text
        assert reply.json()["revision"].partition(".")[0] == revision.partition(".")[0]
        assert number_of(reply.json()["revision"]) >= number_of(revision)
        state: str = reply.json()["state"]
        return state

    def all_say(self, path: str) -> set[int]:
        """Ask every gateway once, without patience."""
        return {one.get(f"{GATEWAY}/{self.workspace}/{path}").status_code for one in self.gateways}


def number_of(revision: str) -> int:
    return int(revision.partition(".")[2])


@pytest.fixture
def user(gateways: list[httpx.Client], workspace: str) -> User:
    return User(gateways, workspace)


def test_every_write_of_a_provider_can_be_waited_for(user: User, upstream: Upstream) -> None:
    echo = "provider/nobody/-/v1/echo"
    host = {"host_url": upstream.host_url}
    revision = user.write("POST", "models", "providers", {"name": "nobody", **host})
    assert user.applied("provider/nobody", revision) == "present"
    assert user.all_say(echo) == {200}
    revision = user.write("PUT", "models", "providers/nobody", {"host_url": "http://127.0.0.1:9"})
    assert user.applied("provider/nobody", revision) == "present"
    assert user.all_say(echo) == {502}
    revision = user.write("PUT", "models", "providers/nobody", host)
    assert user.applied("provider/nobody", revision) == "present"
    assert user.all_say(echo) == {200}
    revision = user.write("PUT", "models", "providers/nobody/status", {"status": "READY"})
    assert user.ask("provider/nobody/ready", revision=revision, wait=20).json()["ready"] is True
    revision = user.write("DELETE", "models", "providers/nobody")
    assert user.applied("provider/nobody", revision) == "absent"
    assert user.all_say(echo) == {404}


def test_every_write_of_a_virtual_model_and_a_model(user: User) -> None:
    body = {"name": "stable", "models": [{"model": f"{user.workspace}/target"}]}
    revision = user.write("POST", "inference-gateway", "virtual-models", body)
    assert user.applied("virtual-model/stable", revision) == "present"
    assert user.all_say("model/stable/-/v1/x") == {503}, "known, and its target is not"
    revision = user.write("PATCH", "inference-gateway", "virtual-models/stable", {"models": []})
    assert user.applied("virtual-model/stable", revision) == "present"
    revision = user.write("DELETE", "inference-gateway", "virtual-models/stable")
    assert user.applied("virtual-model/stable", revision) == "absent"
    assert user.all_say("model/stable/-/v1/x") == {404}
    revision = user.write("POST", "inference-gateway", "virtual-models", {"name": "any-*", "models": []})
    assert user.applied("virtual-model/any-*", revision) == "present"
    for method, path, change in (("POST", "models", {"name": "m1"}), ("PATCH", "models/m1", {"description": "x"})):
        assert user.write(method, "models", path, change).startswith("models.")
    assert user.write("DELETE", "models", "models/m1").startswith("models.")


def test_every_write_of_a_secret(user: User, upstream: Upstream) -> None:
    revision = user.write("POST", "secrets", "secrets", {"name": "key", "value": KEYS[0]})
    assert user.applied("secret/key", revision) == "present"
    provider = {"name": "keyed", "host_url": upstream.host_url, "api_key_secret_name": "key"}
    user.applied("provider/keyed", user.write("POST", "models", "providers", provider))
    assert user.all_say("provider/keyed/-/v1/echo") == {200}
    for change in ({"value": KEYS[1]}, {"description": "same value"}):
        assert user.applied("secret/key", user.write("PATCH", "secrets", "secrets/key", change)) == "present"
    assert user.applied("secret/key", user.write("DELETE", "secrets", "secrets/key")) == "absent"
    assert user.all_say("provider/keyed/-/v1/echo") == {424}


def test_it_answers_when_it_comes(user: User) -> None:
    """Who asks before the change is told when it is there, not when the time is up."""
    revision = user.write("POST", "models", "providers", NO_ONE)
    replies: list[tuple[float, httpx.Response]] = []
    # Discovery, too, makes a revision of it now and then.
    later = number_of(revision) + 20

    def ask() -> None:
        replies.append((time.monotonic(), user.ask("applied/provider/nobody", revision=f"models.{later}", wait=50)))

    asking = threading.Thread(target=ask)
    asking.start()
    eventually_sync(lambda: user.ask("applied/provider/nobody", revision=revision).status_code == 200, 20)
    error_of(user.ask("applied/provider/nobody", revision=f"models.{later}"), 404, "behind")
    assert not replies
    while number_of(user.write("PUT", "models", "providers/nobody", NO_ONE)) < later:
        pass
    began = time.monotonic()
    asking.join(40)
    assert replies[0][1].status_code == 200
    assert time.monotonic() - began < 10


def test_what_is_not_there(user: User) -> None:
    error_of(user.ask("provider/nobody/ready"), 404, "provider_not_found")
    assert user.ask("applied/provider/nobody", wait=20).json()["state"] == "absent"
    user.applied("provider/nobody", user.write("POST", "models", "providers", NO_ONE))
    error_of(user.ask("provider/nobody/ready"), 404, "provider_not_ready")
    began = time.monotonic()
    message = error_of(user.ask("applied/provider/nobody", revision="models.999999999", wait=0.5), 404, "behind")
    assert time.monotonic() - began >= 0.5
    assert "models.999999999" in message


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("applied/provider/nobody", {"revision": "secrets.1"}),
        ("applied/provider/nobody", {"revision": "models.x"}),
        ("applied/secret/nobody", {"revision": "models.1"}),
        ("applied/provider/nobody", {"wait": "61"}),
        ("applied/provider/nobody", {"wait": "-1"}),
        ("applied/provider/NO", {}),
        ("applied/provider/any-*", {}),
        ("applied/workspace/nobody", {}),
        ("provider/nobody/ready", {"revision": "secrets.1"}),
    ],
)
def test_what_cannot_be_asked(path: str, query: dict[str, str], user: User) -> None:
    error_of(user.ask(path, **query), 422)


def test_who_hangs_up_is_not_waited_for(user: User, shared_stack: LocalStack) -> None:
    port = user.gateways[0].base_url.port
    assert port is not None
    path = f"{GATEWAY}/{user.workspace}/applied/provider/nobody"
    request = f"GET {path}?revision=models.999999999&wait=60 HTTP/1.1\r\nhost: test\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as asker:
        asker.sendall(request.encode())
        # with a little patience: on a shared stack there is always a change that some gateway has yet to see
        assert user.all_say("applied/provider/nobody?wait=5") == {200}

    def ended() -> bool:
        logs = [file.read_text() for file in (shared_stack.data_dir / "logs").glob("modelport_gateway*.log")]
        return any(path in line and "499" in line for log in logs for line in log.splitlines())

    eventually_sync(ended, 20)


def test_the_client_library(shared_stack: LocalStack, workspace: str) -> None:
    with Modelport(shared_stack.base_url, workspace) as client:
        client.secrets.create(name="key", value=KEYS[0])
        found = client.inference.gateway.applied("secret", "key", wait=20)
        assert found.state == "present"
        with pytest.raises(NotFoundError):
            client.inference.gateway.applied("secret", "key", revision="secrets.999999999")

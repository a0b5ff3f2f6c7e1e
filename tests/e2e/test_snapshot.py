"""A gateway that starts while all else is away serves from its snapshot (docs/propagation.md, Last known good)."""

import base64
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from modelport import Modelport
from modelport_gateway.sync.snapshot_file import Snapshot, SnapshotFile
from modelport_testing.canaries import Kind, canary
from modelport_testing.gateways import GatewayProcess
from modelport_testing.journeys import GATEWAY
from modelport_testing.metrics import scrape
from modelport_testing.polling import eventually_sync
from modelport_testing.providers import Style
from modelport_testing.running import free_port
from modelport_testing.servers import ValkeyServer, start_valkey
from modelport_testing.services import Services, start_services
from modelport_testing.upstreams import Upstream, start_upstream

UPSTREAM_KEY = canary(Kind.PROVIDER, "sk-snapshot-")
ROTATED = canary(Kind.PROVIDER, "sk-rotated-")
KEY = os.urandom(32)
NAME = "gateway-1"
OPENAI, GONE = "provider/openai/-/", "provider/gone/-/"


class Platform:
    """All there is, each part of which a test may kill."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.services: Services = stack.enter_context(start_services(folder))
        self.valkey: ValkeyServer = stack.enter_context(start_valkey(folder / "valkey"))
        self.snapshot = folder / "snapshot"
        self.metrics_port = free_port()
        environment = {
            **self.services["models"].environment,
            "MODELPORT_REDIS_URL": self.valkey.url,
            "MODELPORT_SERVICE_TOKEN_FILE": str(self.services.keys.token("gateway")),
            "MODELPORT_FRONT_DOOR_TOKEN_FILE": str(self.services.keys.token("front-door")),
            "MODELPORT_METRICS_PORT": str(self.metrics_port),
            **settings(self.snapshot),
        }
        self.gateway = GatewayProcess(NAME, folder, free_port(), environment)
        stack.callback(self.gateway.close)
        self.gateway.start()

    def in_file(self) -> set[str]:
        """Read which records and secrets the file holds now."""
        return {entry.key for entry in self.read().records} | set(self.read().secrets)

    def read(self) -> Snapshot:
        return SnapshotFile(self.snapshot, KEY, NAME).read(time.time(), 3600) or Snapshot(0.0, None)

    def metric(self, name: str, **labels: str) -> float:
        return scrape(f"http://127.0.0.1:{self.metrics_port}/metrics").value(name, **labels)

    def age_s(self, loop: str) -> float:
        return self.metric("modelport_background_loop_last_success_age_seconds", loop=loop)


def settings(path: Path) -> dict[str, str]:
    return {"MODELPORT_SNAPSHOT_FILE": str(path), "MODELPORT_SNAPSHOT_KEY": base64.b64encode(KEY).decode()}


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with start_upstream(Style.OPENAI, key=UPSTREAM_KEY) as running:
        yield running


@pytest.fixture
def platform(tmp_path: Path, upstream: Upstream) -> Iterator[Platform]:
    with ExitStack() as stack:
        running = Platform(tmp_path, stack)
        with Modelport(running.gateway.url) as client:
            for name in ("openai", "gone"):
                client.secrets.create(name=f"{name}-key", value=UPSTREAM_KEY)
                client.inference.providers.create(
                    name=name, host_url=upstream.host_url, api_key_secret_name=f"{name}-key"
                )
            served = [{"model_entity_id": "default/gpt-4", "served_model_name": "gpt-4"}]
            client.inference.providers.update_status("openai", status="READY", served_models=served)
        yield running


def ask(gateway: GatewayProcess, route: str, *, stream: bool = False) -> httpx.Response:
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": "hello there"}], "stream": stream}
    return httpx.post(f"{gateway.url}{GATEWAY}/default/{route}v1/chat/completions", json=body, timeout=15)


def test_everything_is_killed_and_a_restarted_gateway_serves_what_was_in_use(platform: Platform) -> None:
    gateway = platform.gateway
    for route in (OPENAI, GONE, "openai/-/"):
        eventually_sync(lambda route=route: ask(gateway, route).status_code == 200, 20)  # type: ignore[misc]
    eventually_sync(lambda: "secret/default/gone-key" in platform.in_file(), 20)
    eventually_sync(lambda: "model/default/gpt-4" in platform.in_file(), 20)
    with Modelport(gateway.url) as client:
        client.inference.providers.delete("gone")
        eventually_sync(lambda: "provider/default/gone" not in platform.in_file(), 20)
        client.secrets.delete("gone-key")
        eventually_sync(lambda: "secret/default/gone-key" not in platform.in_file(), 20)
    assert UPSTREAM_KEY.encode() not in platform.snapshot.read_bytes()
    assert platform.snapshot.stat().st_mode & 0o777 == 0o600

    for part in (gateway, platform.services["models"], platform.services["secrets"], platform.services.nats):
        part.kill()
    platform.valkey.kill()
    gateway.start()  # ready

    for route in (OPENAI, "openai/-/"):
        for stream in (False, True):
            reply = ask(gateway, route, stream=stream)
            assert (reply.status_code, reply.headers.get("x-modelport-table")) == (200, "snapshot"), reply.text
            assert not stream or reply.text.rstrip().endswith("[DONE]")
    listing = httpx.get(f"{gateway.url}{GATEWAY}/default/openai/-/v1/models")
    assert (listing.status_code, listing.headers["x-modelport-table"]) in {(200, "snapshot"), (503, "snapshot")}
    refused = ask(gateway, GONE)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "table_away"), "deleted, and not proven so"
    assert "serving from the snapshot" in gateway.log()
    assert "age_s=" in gateway.log()
    assert UPSTREAM_KEY not in gateway.log()
    status = httpx.get(f"{gateway.url}/status", timeout=15).json()
    messages = {one["name"]: one["message"] for one in status["services"]["not_ready"]}
    assert "serves from a snapshot" in messages["gateway"]
    assert set(messages) == {"gateway", "models", "nats", "redis", "secrets"}
    assert httpx.get(f"{gateway.url}/health/edge").status_code == 503
    assert platform.metric("modelport_gateway_snapshot_serving") == 1
    assert 0 < platform.metric("modelport_gateway_snapshot_age_seconds") < 3600
    for name in ("redis", "nats", "models", "secrets"):
        eventually_sync(lambda name=name: platform.metric("modelport_dependency_up", dependency=name) == 0, 20)  # type: ignore[misc]

    for loop in ("route changes", "route repair models", "route repair secrets", "fence", "gateway watch"):
        eventually_sync(lambda loop=loop: platform.age_s(loop) > 3, 20)  # type: ignore[misc]

    before = platform.snapshot.read_bytes()
    platform.valkey.start()  # and nobody to fill it
    eventually_sync(lambda: platform.metric("modelport_gateway_table_connected") == 1, 20)
    assert ask(gateway, OPENAI).headers["x-modelport-table"] == "snapshot"
    assert platform.snapshot.read_bytes() == before, "never written while the table is not trusted"

    platform.services.nats.start()
    for kind in ("secrets", "models"):
        platform.services[kind].start()
    eventually_sync(lambda: "x-modelport-table" not in ask(gateway, OPENAI).headers, 30)
    assert ask(gateway, OPENAI).status_code == 200
    assert ask(gateway, GONE).status_code == 404
    assert platform.metric("modelport_gateway_snapshot_serving") == 0
    eventually_sync(lambda: platform.snapshot.read_bytes() != before, 20)
    assert {"provider/default/openai", "secret/default/openai-key"} <= platform.in_file()
    for loop in ("route changes", "route repair models", "route repair secrets", "fence", "snapshot", "secret sweeps"):
        eventually_sync(lambda loop=loop: platform.age_s(loop) < 3, 30)  # type: ignore[misc]


def test_what_was_in_use_before_a_restart_stays_in_the_file(platform: Platform) -> None:
    """Also where nobody asks for it until the next one."""
    gateway = platform.gateway
    for route in (OPENAI, GONE):
        eventually_sync(lambda route=route: ask(gateway, route).status_code == 200, 20)  # type: ignore[misc]
    both = {"secret/default/gone-key", "secret/default/openai-key"}
    eventually_sync(lambda: both <= platform.in_file(), 20)
    with Modelport(gateway.url) as client:
        client.secrets.update("openai-key", value=ROTATED)
    rotated = "secret/default/openai-key"
    eventually_sync(lambda: platform.read().secrets[rotated].value == ROTATED, 20, ignoring=(KeyError,))
    gateway.kill()
    reply = platform.services.client("secrets").delete("/apis/secrets/v2/workspaces/default/secrets/gone-key")
    assert reply.status_code in {200, 204}, reply.text
    before = platform.snapshot.read_bytes()
    gateway.start()
    eventually_sync(lambda: platform.snapshot.read_bytes() != before, 20)
    eventually_sync(lambda: "secret/default/gone-key" not in platform.in_file(), 20)
    assert {"provider/default/openai", "secret/default/openai-key"} <= platform.in_file()


def write(path: Path, key: bytes = KEY, name: str = NAME, age_s: float = 0.0) -> None:
    SnapshotFile(path, key, name).write(Snapshot(time.time() - age_s, None))


def spoil(path: Path) -> None:
    write(path)
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)


def open_up(path: Path) -> None:
    write(path)
    path.chmod(0o640)


def scribble(path: Path) -> None:
    path.write_text("hello")
    path.chmod(0o600)


REFUSALS: dict[str, tuple[Callable[[Path], None], str]] = {
    "another key": (lambda path: write(path, key=os.urandom(32)), "cannot be decrypted"),
    "tampered with": (spoil, "cannot be decrypted"),
    "too old": (lambda path: write(path, age_s=90_000), "MODELPORT_SNAPSHOT_MAX_AGE_S"),
    "another gateway's": (lambda path: write(path, name="gateway-2"), "belongs to gateway 'gateway-2'"),
    "readable by others": (open_up, "has mode 0640"),
    "no snapshot": (scribble, "is no snapshot"),
}


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway that is not started yet, and has nobody to talk to."""
    with socket.socket() as nobody, ExitStack() as stack:
        nobody.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{nobody.getsockname()[1]}"
        token = tmp_path / "token"
        token.write_text("some-token")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MODELPORT_")},
            "MODELPORT_REDIS_URL": f"redis://{nowhere}/0",
            "MODELPORT_NATS_URL": f"nats://{nowhere}",
            "MODELPORT_MODELS_URL": f"http://{nowhere}",
            "MODELPORT_SECRETS_URL": f"http://{nowhere}",
            "MODELPORT_SERVICE_TOKEN_FILE": str(token),
            "MODELPORT_FRONT_DOOR_TOKEN_FILE": str(token),
            **settings(tmp_path / "snapshot"),
        }
        gateway = GatewayProcess(NAME, tmp_path, free_port(), environment)
        stack.callback(gateway.close)
        yield gateway


@pytest.mark.parametrize("why", REFUSALS)
def test_a_file_that_cannot_be_trusted_is_refused_in_one_line(tmp_path: Path, alone: GatewayProcess, why: str) -> None:
    make, told = REFUSALS[why]
    make(tmp_path / "snapshot")
    alone.launch()
    eventually_sync(lambda: "the snapshot is refused" in alone.log(), 20)
    lines = [line for line in alone.log().splitlines() if "the snapshot is refused" in line]
    assert len(lines) == 1
    assert told in lines[0]
    eventually_sync(lambda: httpx.get(f"{alone.url}/health/live").status_code == 200, 20, ignoring=(httpx.HTTPError,))
    assert httpx.get(f"{alone.url}/health/ready").status_code == 503
    assert ask(alone, OPENAI).status_code == 503

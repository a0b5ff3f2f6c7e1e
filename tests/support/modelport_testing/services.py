"""The real secrets and models services, as processes of their own, on a database each.

There is no gateway here, so discovery never gets an answer and providers stay CREATED until a test sets their status.
"""

import base64
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from modelport_cli.stack.keys import SCOPES, trust_entries
from modelport_contracts.errors import SERVICE_TOKEN_HEADER
from modelport_models.app import build_app as build_models
from modelport_models.settings import ModelsSettings
from modelport_secrets.app import build_app as build_secrets
from modelport_secrets.settings import SecretsSettings
from modelport_testing.canaries import Kind, Place, canary, hunt
from modelport_testing.postgres import PostgresServer
from modelport_testing.running import NativeProcess, free_port, says
from modelport_testing.servers import NatsServer, TestServer, start_nats, start_together

KINDS = ("secrets", "models")


@dataclass(frozen=True)
class ServiceKeys:
    """The key files of a platform: a token for each caller, the trust file, the key-encryption key."""

    folder: Path
    tokens: Mapping[str, str]

    @property
    def trust(self) -> Path:
        return self.folder / "trust.json"

    @property
    def kek(self) -> Path:
        return self.folder / "kek"

    def token(self, caller: str) -> Path:
        return self.folder / f"{caller}.token"

    def headers(self, caller: str) -> dict[str, str]:
        """The header by which a service knows `caller`."""
        return {SERVICE_TOKEN_HEADER: self.tokens[caller]}


def new_kek() -> str:
    """Make a key-encryption key."""
    return base64.b64encode(hunt().marker.encode() + os.urandom(16)).decode()


def write_keks(file: Path, *keks: str) -> None:
    """Write a file of key-encryption keys, the first of which wraps."""
    file.touch(mode=0o600)
    file.write_text("".join(f"{kek}\n" for kek in keks))


def make_keys(folder: Path) -> ServiceKeys:
    """Make key files in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = {caller: canary(Kind.SERVICE) for caller in SCOPES}
    keys = ServiceKeys(folder, tokens)
    for caller, token in tokens.items():
        keys.token(caller).write_text(token + "\n")
    keys.trust.write_text(json.dumps(trust_entries(tokens)))
    write_keks(keys.kek, new_kek())
    return keys


class Service(TestServer):
    """A service process that keeps its address and its database through stops, crashes and restarts."""

    def __init__(self, kind: str, folder: Path, port: int, environment: Mapping[str, str]) -> None:
        self.kind = kind
        self.environment = dict(environment)
        """What the process is started with; a change takes effect at the next start."""
        command = [sys.executable, "-P", "-m", f"modelport_{kind}"]
        self._process = NativeProcess(command, folder / f"{kind}.log", env=self.environment)
        super().__init__(self._process, port, lambda: says(port, _READY_REQUEST, b"HTTP/1.1 200"))

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"http://127.0.0.1:{self.port}"


_READY_REQUEST = b"GET /health/ready HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"


class Services:
    """A running pair and its NATS."""

    def __init__(
        self, keys: ServiceKeys, services: Mapping[str, Service], nats: NatsServer, clients: ExitStack
    ) -> None:
        self.keys = keys
        self.nats = nats
        self._services = services
        self._clients = clients
        self._made: dict[tuple[str, str | None], httpx.Client] = {}

    def __getitem__(self, kind: str) -> Service:
        return self._services[kind]

    def client(self, kind: str, caller: str | None = "front-door") -> httpx.Client:
        """Return the client of a service that carries a caller's token, or none; it is closed with the services."""
        if (kind, caller) in self._made:
            return self._made[kind, caller]
        headers = self.keys.headers(caller) if caller is not None else {}
        client = httpx.Client(base_url=self[kind].url, headers=headers, timeout=15, trust_env=False)
        self._made[kind, caller] = self._clients.enter_context(client)
        return client

    def logs(self) -> str:
        """Return what both have printed."""
        return "".join(service.log() for service in self._services.values())


def _sqlite_urls(folder: Path) -> dict[str, str]:
    """Return the URL of a fresh SQLite database for each service."""
    return {kind: f"sqlite+aiosqlite:///{folder / kind}.db" for kind in KINDS}


@contextmanager
def _postgres_urls(postgres: PostgresServer) -> Iterator[dict[str, str]]:
    """Make a fresh PostgreSQL database for each service."""
    names = {kind: postgres.create_database(f"{kind}_{os.getpid()}") for kind in KINDS}
    try:
        yield {kind: postgres.url(name) for kind, name in names.items()}
    finally:
        for name in names.values():
            postgres.drop_database(name)


@contextmanager
def start_services(
    folder: Path,
    postgres: PostgresServer | None = None,
    environment: Mapping[str, str] | None = None,
    databases: Path | None = None,
) -> Iterator[Services]:
    """Run NATS and both services, their keys and logs in `folder`, ready when this is entered.

    Their databases are SQLite's, in `folder` or the folder `databases`, unless there is a PostgreSQL to make them in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keys = make_keys(folder / "keys")
    ports = {kind: free_port() for kind in KINDS}
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("MODELPORT_") and name != "NGC_API_KEY"
    }
    with ExitStack() as stack:
        stack.callback(lambda: hunt().files(folder, without=("keys", "nats")))  # NATS has looked through its own
        nats = stack.enter_context(start_nats(folder / "nats"))
        on_files = _sqlite_urls(databases or folder)
        urls = on_files if postgres is None else stack.enter_context(_postgres_urls(postgres))
        # Bound and never listening: whoever connects is refused, and nobody else gets the port.
        nobody = stack.enter_context(socket.socket())
        nobody.bind(("127.0.0.1", 0))
        services = {}
        for kind in KINDS:
            own = {
                "PYTHONUNBUFFERED": "1",
                "MODELPORT_PORT": str(ports[kind]),
                "MODELPORT_NATS_URL": nats.url,
                "MODELPORT_DATABASE_URL": urls[kind],
                "MODELPORT_MODELS_URL": f"http://127.0.0.1:{ports['models']}",
                "MODELPORT_SECRETS_URL": f"http://127.0.0.1:{ports['secrets']}",
                "MODELPORT_GATEWAY_URL": f"http://127.0.0.1:{nobody.getsockname()[1]}",
                "MODELPORT_SERVICE_TOKEN_FILE": str(keys.token(kind)),
                "MODELPORT_SERVICE_TRUST_FILE": str(keys.trust),
                "MODELPORT_KEK_FILE": str(keys.kek),
                "MODELPORT_EGRESS_ALLOW": "127.0.0.0/8,::1",
                "MODELPORT_SHUTDOWN_GRACE_S": "2",
            }
            services[kind] = Service(kind, folder, ports[kind], inherited | own | dict(environment or {}))
            stack.callback(services[kind].close)
        start_together(services.values())
        yield Services(keys, services, nats, stack)


def build_app(kind: str, keys: ServiceKeys) -> FastAPI:
    """Make a service's app without starting it; nothing connects."""
    common: dict[str, Any] = {
        "database_url": f"sqlite:///{keys.folder}/never.db",
        "nats_url": "nats://127.0.0.1:1",
        "service_token_file": keys.token(kind),
        "service_trust_file": keys.trust,
    }
    nowhere = "http://127.0.0.1:1"
    if kind == "secrets":
        return build_secrets(SecretsSettings(**common, models_url=nowhere, kek_file=keys.kek))
    return build_models(ModelsSettings(**common, secrets_url=nowhere, gateway_url=nowhere))


def make_workspace(models: httpx.Client) -> str:
    """Make a workspace of a new name and return the name."""
    name = f"w-{os.urandom(6).hex()}"
    reply = models.post("/apis/entities/v2/workspaces", json={"name": name})
    assert reply.status_code == 201, reply.text
    return name


def error_of(reply: httpx.Response, status: int, code: str | None = None) -> str:
    """Check that a reply is an error of the one shape (docs/wire.md, 2); returns its message."""
    hunt().content(Place.ANSWER, str(reply.url), reply.content + str(reply.headers).encode())
    assert reply.status_code == status, reply.text
    body = reply.json()
    assert set(body) == {"type", "error", "detail"}
    assert body["type"] == "error"
    assert set(body["error"]) == {"type", "message", "code", "param"}
    assert code is None or body["error"]["code"] == code, body
    if status == 422 and isinstance(body["detail"], list):
        assert body["detail"]
        assert all(set(item) == {"type", "loc", "msg"} for item in body["detail"])
    else:
        assert body["detail"] == body["error"]["message"]
    if status == 409:
        assert reply.headers["x-should-retry"] == "false"
    assert reply.headers["x-modelport-error-origin"] == "gateway"
    assert reply.headers["x-request-id"] == reply.headers["x-modelport-request-id"]
    message: str = body["error"]["message"]
    return message


def result_of(reply: httpx.Response, status: int = 200) -> Any:
    """Check a reply's status and return its JSON; None for 204."""
    assert reply.status_code == status, reply.text
    return None if status == 204 else reply.json()

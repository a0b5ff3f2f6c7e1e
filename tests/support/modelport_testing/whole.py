"""The whole platform as processes that each can be killed, paused, cut off and left dead: nobody restarts them.

Three gateways, each with its own way to Redis, stand behind the edge of the compose stack; the services ask the
gateways through it.
"""

import contextlib
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from modelport_testing.edge import start_edge
from modelport_testing.gateways import GatewayProcess
from modelport_testing.metrics import Scrape, scrape
from modelport_testing.polling import eventually_sync
from modelport_testing.postgres import PostgresServer, start_postgres
from modelport_testing.running import free_port
from modelport_testing.servers import NatsServer, TestServer, ValkeyServer, start_together, start_valkey
from modelport_testing.services import Service, Services, start_services
from modelport_testing.wire import Wire, start_wire

GATEWAYS = 3
DISK_MIB = 8


@dataclass
class Whole:
    """All parts, as far as they run."""

    folder: Path
    services: Services
    valkey: ValkeyServer
    gateways: list[GatewayProcess]
    edge: TestServer
    postgres: PostgresServer | None = None
    wires: list[Wire] = field(default_factory=list)
    """Between each gateway and Redis; none where the platform was not asked to have any."""
    metrics_ports: list[int] = field(default_factory=list)
    databases: Path | None = None
    """The folder of SQLite's files."""

    @property
    def models(self) -> Service:
        return self.services["models"]

    @property
    def secrets(self) -> Service:
        return self.services["secrets"]

    @property
    def nats(self) -> NatsServer:
        return self.services.nats

    @property
    def url(self) -> str:
        """The address for users: the edge's."""
        return f"http://127.0.0.1:{self.edge.port}"

    def metrics(self, gateway: int) -> Scrape:
        """Return what a gateway's metrics say now."""
        return scrape(f"http://127.0.0.1:{self.metrics_ports[gateway]}/metrics")

    def logs(self) -> dict[str, str]:
        """Return what our own processes have printed, by name."""
        named = {gateway.name: gateway.log() for gateway in self.gateways}
        return named | {kind: self.services[kind].log() for kind in ("models", "secrets")}


@contextlib.contextmanager
def start_whole(
    folder: Path,
    *,
    database: str = "sqlite",
    wires: bool = True,
    small_disk: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Whole]:
    """Run everything, ready when this is entered. `environment` is for our own processes.

    With `small_disk` SQLite's files are on a file system of DISK_MIB of their own, which only root can make.
    """
    folder.mkdir(parents=True, exist_ok=True)
    edge_port = free_port()
    with ExitStack() as stack:
        postgres = stack.enter_context(start_postgres()) if database == "postgresql" else None
        databases = folder / "databases"
        databases.mkdir()
        if small_disk:
            stack.enter_context(_small_disk(databases))
        more = {"MODELPORT_GATEWAY_URL": f"http://127.0.0.1:{edge_port}", **(environment or {})}
        services = stack.enter_context(start_services(folder, postgres, more, databases))
        valkey = stack.enter_context(start_valkey(folder / "valkey"))
        ways = [stack.enter_context(start_wire(valkey.port)) for _ in range(GATEWAYS if wires else 0)]
        metrics_ports = [free_port() for _ in range(GATEWAYS)]
        gateways = []
        for number in range(GATEWAYS):
            port = ways[number].port if ways else valkey.port
            own = {
                **services["models"].environment,
                "MODELPORT_REDIS_URL": f"redis://127.0.0.1:{port}/0",
                "MODELPORT_SERVICE_TOKEN_FILE": str(services.keys.token("gateway")),
                "MODELPORT_FRONT_DOOR_TOKEN_FILE": str(services.keys.token("front-door")),
                "MODELPORT_METRICS_PORT": str(metrics_ports[number]),
            }
            gateway = GatewayProcess(f"gateway-{number + 1}", folder, free_port(), own)
            stack.callback(gateway.close)
            gateways.append(gateway)
        start_together(gateways)
        addresses = [f"127.0.0.1:{gateway.port}" for gateway in gateways]
        edge = stack.enter_context(start_edge(folder, addresses, edge_port))
        whole = Whole(folder, services, valkey, gateways, edge, postgres, ways, metrics_ports, databases)
        eventually_sync(lambda: httpx.get(f"{whole.url}/status").json()["status"] == "ready", 20)
        yield whole


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", folder], check=True, timeout=10)
    try:
        yield
    finally:
        # What had its files there has ended by now.
        subprocess.run(["umount", folder], check=True, timeout=10)

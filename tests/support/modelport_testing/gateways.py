"""Real gateways, as processes of their own, on one platform."""

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from modelport_contracts.errors import REVISION_HEADER
from modelport_testing.journeys import GATEWAY
from modelport_testing.postgres import PostgresServer
from modelport_testing.running import NativeProcess, free_port, says
from modelport_testing.servers import TestServer, ValkeyServer, start_together, start_valkey
from modelport_testing.services import Service, Services, start_services

_READY_REQUEST = b"GET /health/ready HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"


class GatewayProcess(TestServer):
    """One gateway process; it keeps its address through restarts."""

    def __init__(self, name: str, folder: Path, port: int, environment: Mapping[str, str]) -> None:
        self.name = name
        self.access_log_file = folder / f"{name}.access.log"
        own = {
            "MODELPORT_PORT": str(port),
            "MODELPORT_ACCESS_LOG_FILE": str(self.access_log_file),
            "MODELPORT_GATEWAY_ID": name,
        }
        command = [sys.executable, "-P", "-m", "modelport_gateway"]
        self._process = NativeProcess(command, folder / f"{name}.log", env={**environment, **own})
        super().__init__(self._process, port, lambda: says(port, _READY_REQUEST, b"HTTP/1.1 200"))

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The id of the running process."""
        return self._process.pid

    def launch(self) -> None:
        """Start it and return at once, whether or not it will ever be ready."""
        self._process.start()

    def is_ready(self) -> bool:
        """Ask its readiness."""
        return self._ready()

    def applied(self, provider: str, revision: str, wait_s: float = 0.0) -> bool:
        """Ask whether all gateways act on a provider's revision, or a later one."""
        query: dict[str, str | float] = {"revision": revision, "wait": wait_s}
        path = f"{GATEWAY}/default/applied/provider/{provider}"
        return httpx.get(f"{self.url}{path}", params=query, timeout=wait_s + 10).status_code == 200

    def is_at_the_edge(self) -> bool:
        """Ask what a load balancer asks."""
        return httpx.get(f"{self.url}/health/edge", timeout=10).status_code == 200

    def terminate(self, number: int = signal.SIGTERM) -> None:
        """Ask it to leave, and return at once."""
        self._process.send_signal(number)

    def wait(self, timeout_s: float = 30) -> int:
        """Wait until it has left; return its return code."""
        return self._process.wait(timeout_s)

    def access_log(self) -> list[str]:
        """Return the access records written so far."""
        return self.access_log_file.read_text().splitlines() if self.access_log_file.exists() else []


class Fleet:
    """Gateways that share one routing table, and the services behind them."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        services: Services,
        stack: ExitStack,
        valkey: ValkeyServer,
    ) -> None:
        self.gateways: list[GatewayProcess] = []
        self.services = services
        self._folder = folder
        self._environment = environment
        self._stack = stack
        self.valkey = valkey

    def __getitem__(self, position: int) -> GatewayProcess:
        return self.gateways[position]

    def add(self, environment: Mapping[str, str] | None = None) -> GatewayProcess:
        """Start one more gateway, with settings of its own, and return it when it is ready."""
        gateway = self._make(environment)
        gateway.start()
        return gateway

    def fill(self, count: int) -> None:
        """Start so many gateways at the same time; return when they are ready."""
        start_together([self._make(None) for _ in range(count)])

    def _make(self, environment: Mapping[str, str] | None) -> GatewayProcess:
        number = len(self.gateways) + 1
        gateway = GatewayProcess(
            f"gateway-{number}", self._folder, free_port(), {**self._environment, **(environment or {})}
        )
        self._stack.callback(gateway.close)
        self.gateways.append(gateway)
        return gateway

    def register(self, name: str, host_url: str) -> str:
        """Register a provider and wait until all gateways know it; return the path of its route, without the tail."""
        assert self[0].applied(name, self.change(name, host_url), wait_s=20)
        return f"{GATEWAY}/default/provider/{name}/-/"

    def change(self, name: str, host_url: str) -> str:
        """Register or replace a provider; return the change's revision."""
        path = f"/apis/models/v2/workspaces/default/providers/{name}"
        answer = httpx.put(f"{self[0].url}{path}", json={"host_url": host_url}, timeout=15)
        assert answer.is_success, answer.text
        return answer.headers[REVISION_HEADER]


@contextmanager
def start_fleet(
    folder: Path,
    count: int = 1,
    environment: Mapping[str, str] | None = None,
    postgres: PostgresServer | None = None,
    services_environment: Mapping[str, str] | None = None,
) -> Iterator[Fleet]:
    """Run gateways and all they need, ready when this is entered; `environment` is the gateways' alone."""
    with ExitStack() as stack:
        services = stack.enter_context(start_services(folder, postgres, services_environment))
        valkey = stack.enter_context(start_valkey(folder / "valkey"))
        models: Service = services["models"]
        common = {
            **models.environment,
            "MODELPORT_REDIS_URL": valkey.url,
            "MODELPORT_SERVICE_TOKEN_FILE": str(services.keys.token("gateway")),
            "MODELPORT_FRONT_DOOR_TOKEN_FILE": str(services.keys.token("front-door")),
            "MODELPORT_SHUTDOWN_GRACE_S": "20",
            **(environment or {}),
        }
        fleet = Fleet(folder, common, services, stack, valkey)
        fleet.fill(count)
        yield fleet

"""Real gateways, as processes of their own, on one platform."""

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from modelport import Modelport
from modelport_testing.journeys import GATEWAY
from modelport_testing.polling import eventually_sync
from modelport_testing.running import NativeProcess, free_port, says
from modelport_testing.servers import TestServer, start_valkey
from modelport_testing.services import Service, start_services

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

    def is_ready(self) -> bool:
        """Ask its readiness."""
        return self._ready()

    def says_of(self, provider: str) -> str:
        """Return the error code with which it says that a provider is not ready, empty where it is."""
        answer = httpx.get(f"{self.url}{GATEWAY}/default/provider/{provider}/ready")
        return "" if answer.status_code == 200 else str(answer.json()["error"]["code"])

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

    def __init__(self, folder: Path, environment: Mapping[str, str], stack: ExitStack) -> None:
        self.gateways: list[GatewayProcess] = []
        self._folder = folder
        self._environment = environment
        self._stack = stack

    def __getitem__(self, position: int) -> GatewayProcess:
        return self.gateways[position]

    def add(self, environment: Mapping[str, str] | None = None) -> GatewayProcess:
        """Start one more gateway, with settings of its own, and return it when it is ready."""
        number = len(self.gateways) + 1
        gateway = GatewayProcess(
            f"gateway-{number}", self._folder, free_port(), {**self._environment, **(environment or {})}
        )
        self._stack.callback(gateway.close)
        gateway.start()
        self.gateways.append(gateway)
        return gateway

    def register(self, name: str, host_url: str) -> str:
        """Register a provider and wait until all gateways know it; return the path of its route, without the tail."""
        with Modelport(self[0].url) as client:
            client.inference.providers.create(name=name, host_url=host_url)
        for gateway in self.gateways:
            if gateway.alive:
                # No more than that: nobody asks the provider whether it is READY, and requests do not depend on it.
                eventually_sync(lambda gateway=gateway: gateway.says_of(name) != "provider_not_found", 10)  # type: ignore[misc]
        return f"{GATEWAY}/default/provider/{name}/-/"


@contextmanager
def start_fleet(folder: Path, count: int = 1, environment: Mapping[str, str] | None = None) -> Iterator[Fleet]:
    """Run gateways and all they need, ready when this is entered; `environment` is the gateways' alone."""
    with ExitStack() as stack:
        services = stack.enter_context(start_services(folder))
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
        fleet = Fleet(folder, common, stack)
        for _ in range(count):
            fleet.add()
        yield fleet

"""The parts of a stack as the supervisor sees them: what to start, and how to tell that it works."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from modelport_cli.stack import probes
from modelport_cli.stack.datadir import DataFolder, write_private
from modelport_cli.stack.keys import Keys
from modelport_cli.stack.plan import (
    HOST,
    REDIS_USER,
    Addresses,
    Launch,
    Service,
    nats_config,
    nats_launch,
    service_launch,
    url,
    valkey_config,
    valkey_launch,
)
from modelport_cli.stack.sockets import unassigned_port


class Part(Protocol):
    """One process of the stack, started again whenever it ends."""

    @property
    def name(self) -> str:
        """What people see."""

    @property
    def address(self) -> str:
        """Where it is; known once it is ready."""

    @property
    def stop_timeout_s(self) -> float:
        """How long it may take to end in good order."""

    def launch(self) -> Launch:
        """Prepare the next start."""

    async def ready(self, pid: int) -> bool:
        """Tell whether the process works. Raises OSError while it cannot even be asked."""

    def refusal(self, status: int, last_line: str) -> str | None:
        """Say in one line why the process, which ended, would do so again; None when another attempt may help.

        `last_line` is the last it printed.
        """


class NatsPart:
    """The NATS server. It chooses its port at first start and keeps it from then on."""

    name = "nats-server"
    stop_timeout_s = 10.0

    def __init__(self, program: Path, data: DataFolder, keys: Keys, environ: Mapping[str, str]) -> None:
        self._program = program
        self._run = data.run
        self._store = data.folder("nats")
        self._passwords = keys.nats_passwords
        self._environ = environ
        self._port: int | None = None

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"nats://{HOST}:{self._port}"

    @property
    def client_urls(self) -> dict[str, str]:
        """The address with the credentials of each service."""
        return {kind: f"nats://{kind}:{password}@{HOST}:{self._port}" for kind, password in self._passwords.items()}

    def launch(self) -> Launch:
        """Write its configuration and say how to start it."""
        write_private(self._run / "nats.conf", nats_config())
        return nats_launch(self._program, self._run, self._store, self._port, self._passwords, self._environ)

    async def ready(self, pid: int) -> bool:
        """Tell whether the server of this process id has named its port and greets there."""
        port = probes.nats_port(self._run, pid)
        if port is None or not await probes.nats_ready(port):
            return False
        self._port = port
        return True

    def refusal(self, status: int, last_line: str) -> str | None:
        """Say what the server calls fatal. Its files hold what is on its way only, and all of that is made again."""
        _, fatal, reason = last_line.partition("[FTL] ")
        if status != 1 or not fatal:
            return None
        return f"{self.name} cannot start: {reason}; its folder {self._store} may be moved away, no data are lost by it"


class ValkeyPart:
    """Valkey. It gets a free port at first start and keeps it once it has worked."""

    name = "valkey-server"
    stop_timeout_s = 5.0

    def __init__(self, program: Path, data: DataFolder, keys: Keys, environ: Mapping[str, str]) -> None:
        self._program = program
        self._run = data.run
        self._password = keys.valkey_password
        self._environ = environ
        self._port = 0
        self._settled = False

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"redis://{HOST}:{self._port}"

    @property
    def client_url(self) -> str:
        """The address with the credentials for gateways."""
        return f"redis://{REDIS_USER}:{self._password}@{HOST}:{self._port}/0"

    def launch(self) -> Launch:
        """Write its configuration and say how to start it."""
        if not self._settled:
            self._port = unassigned_port()
        write_private(self._run / "valkey.conf", valkey_config(self._port, self._password))
        return valkey_launch(self._program, self._run, self._environ)

    async def ready(self, pid: int) -> bool:
        """Tell whether the server lets us in."""
        self._settled = await probes.valkey_ready(self._port, self._password)
        return self._settled

    def refusal(self, status: int, last_line: str) -> str | None:
        """Never: another attempt takes another port."""
        return None


class ServicePart:
    """One of our own services, on sockets that the supervisor keeps open for it."""

    stop_timeout_s = 30.0
    """Streams in flight get 20 s (MODELPORT_SHUTDOWN_GRACE_S); the rest is for putting things away."""

    def __init__(self, service: Service, addresses: Addresses, keys: Keys, environ: Mapping[str, str]) -> None:
        self._service = service
        self._launch = service_launch(service, addresses, keys.folder, environ)

    @property
    def name(self) -> str:
        """What people see."""
        return self._service.name

    @property
    def address(self) -> str:
        """Where it listens itself; users come through the front door."""
        return url(self._service.port)

    def launch(self) -> Launch:
        """Say how to start it."""
        return self._launch

    async def ready(self, pid: int) -> bool:
        """Ask /health/ready on its own port."""
        return await probes.http_ready(self._service.port)

    def refusal(self, status: int, last_line: str) -> str | None:
        """Pass on what the service said if it cannot work with its settings or data (EX_CONFIG of sysexits)."""
        return last_line or None if status == os.EX_CONFIG else None

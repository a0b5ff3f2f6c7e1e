"""What the stack consists of: which program each part runs, with which arguments and environment. Pure."""

import hashlib
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

HOST = "127.0.0.1"
REDIS_USER = "gateway"
"""Valkey's only user: the services have no business there."""

LOCAL_EGRESS = "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fc00::/7"
"""A model server on this machine or in the house is what people try first. Clouds' metadata is not in it."""

_RIGHTS = files("modelport_cli.stack") / "rights"
_ONLY_FOR_SECRETS = ("NGC_API_KEY", "MODELPORT_KEK")
_SERVER_VARIABLES = ("HOME", "LANG", "PATH", "TMPDIR", "TZ")


@dataclass(frozen=True)
class Launch:
    """How to start one process."""

    argv: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    folder: Path
    """Its working directory."""
    fds: Sequence[int] = ()
    """The listening sockets it inherits, under the same numbers."""


@dataclass(frozen=True)
class Addresses:
    """Where everything is, as services are told."""

    nats_urls: Mapping[str, str] = field(repr=False)
    """By the kind of service: each logs in as its own user."""
    redis_url: str = field(repr=False)
    front_port: int
    secrets_port: int
    models_port: int
    metrics_ports: Mapping[str, int] = field(default_factory=dict)
    """By the name of the service, as `Service.name` without its prefix."""

    @property
    def front_url(self) -> str:
        """The platform's own address."""
        return url(self.front_port)


@dataclass(frozen=True)
class Service:
    """One service process: `python -m modelport_<kind>`."""

    kind: str
    folder: Path
    """Its own data folder."""
    port: int
    fds: tuple[int, ...]
    """Listening sockets of its own."""
    shared_fds: tuple[int, ...] = ()
    """Those that it shares with the other gateways."""
    number: int | None = None
    """Which of several gateways it is, from 1; None for what there is one of."""
    metrics_fd: int | None = None
    """The listening socket on which it shows its metrics."""

    @property
    def name(self) -> str:
        """What people see: modelport_gateway, or modelport_gateway-2 where there are several."""
        return f"modelport_{self.kind}" + (f"-{self.number}" if self.number is not None else "")


def service_launch(service: Service, addresses: Addresses, keys: Path, environ: Mapping[str, str]) -> Launch:
    """Say how to start a service.

    -P keeps the current directory off its import path: a file `secrets.py` there would break it.
    """
    environment = {name: value for name, value in environ.items() if name not in _ONLY_FOR_SECRETS}
    own = {
        "PYTHONUNBUFFERED": "1",
        "MODELPORT_HOST": HOST,
        "MODELPORT_PORT": str(addresses.front_port if service.kind == "gateway" else service.port),
        "MODELPORT_LISTEN_FDS": ",".join(str(fd) for fd in service.fds),
        "MODELPORT_DATA_DIR": str(service.folder),
        "MODELPORT_NATS_URL": addresses.nats_urls[service.kind],
        "MODELPORT_MODELS_URL": url(addresses.models_port),
        "MODELPORT_SECRETS_URL": url(addresses.secrets_port),
        "MODELPORT_GATEWAY_URL": addresses.front_url,
        "MODELPORT_SERVICE_TOKEN_FILE": str(keys / f"{service.kind}.token"),
        "MODELPORT_SERVICE_TRUST_FILE": str(keys / "trust.json"),
    }
    environment.setdefault("MODELPORT_EGRESS_ALLOW", LOCAL_EGRESS)
    fds = service.fds + service.shared_fds
    if service.metrics_fd is not None:
        own["MODELPORT_METRICS_FD"] = str(service.metrics_fd)
        fds += (service.metrics_fd,)
    if service.kind == "gateway":
        own["MODELPORT_REDIS_URL"] = addresses.redis_url
        own["MODELPORT_SHARED_FDS"] = ",".join(str(fd) for fd in service.shared_fds)
        own["MODELPORT_METRICS_URLS"] = ",".join(
            f"{name}={url(port)}/metrics" for name, port in addresses.metrics_ports.items()
        )
        own["MODELPORT_FRONT_DOOR_TOKEN_FILE"] = str(keys / "front-door.token")
        own["MODELPORT_ACCESS_LOG_FILE"] = str(service.folder.parent / "logs" / f"{service.name}.access.log")
        # no edge asks whether this gateway is leaving, so there is nothing to wait for
        environment.setdefault("MODELPORT_LAME_DUCK_S", "0")
    else:
        # quoted, as in any URL: a folder's name may hold what would end the path there, or be decoded to another
        own["MODELPORT_DATABASE_URL"] = f"sqlite+aiosqlite:///{quote(str(service.folder / service.kind))}.db"
    if service.kind == "secrets":
        own["MODELPORT_KEK_FILE"] = str(keys / "kek")
        own |= {name: environ[name] for name in _ONLY_FOR_SECRETS if name in environ}
    argv = [sys.executable, "-P", "-m", f"modelport_{service.kind}"]
    return Launch(argv, environment | own, service.folder, fds)


def nats_launch(
    program: Path,
    run: Path,
    store: Path,
    port: int | None,
    passwords: Mapping[str, str],
    environ: Mapping[str, str],
) -> Launch:
    """Say how to start the NATS server: on a port of its own choice, or again on the one it had.

    Its configuration names the variables of the passwords; what is secret may not stand among the arguments (`ps`).
    """
    argv = [str(program), "-c", str(run / "nats.conf"), "-a", HOST, "-p", str(port or -1)]
    argv += ["--ports_file_dir", str(run), "-js", "-sd", str(store)]
    variables = {f"NATS_{kind.upper()}_PASSWORD": password for kind, password in passwords.items()}
    return Launch(argv, server_environment(environ) | variables, run)


def nats_config() -> str:
    """Return the NATS server's configuration: who may do what."""
    return (_RIGHTS / "nats.conf").read_text()


def valkey_launch(program: Path, run: Path, environ: Mapping[str, str]) -> Launch:
    """Say how to start Valkey."""
    return Launch([str(program), str(run / "valkey.conf")], server_environment(environ), run)


def valkey_config(port: int, password: str) -> str:
    """Write Valkey's configuration file: the routing table can be rebuilt, so nothing is stored, nothing evicted."""
    return f'bind {HOST}\nport {port}\nsave ""\nappendonly no\nmaxmemory-policy noeviction\n{valkey_users(password)}\n'


def valkey_users(password: str) -> str:
    """Write who may do what on Valkey: of the password only its digest."""
    digest = hashlib.sha256(password.encode()).hexdigest()
    lines = (_RIGHTS / "valkey-gateway.acl").read_text().splitlines()
    rights = " ".join(line for line in lines if not line.startswith("#"))
    return f"user default reset\nuser {REDIS_USER} on #{digest} {rights}"


def server_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the little of the environment that NATS and Valkey need: no provider's key is among it."""
    return {name: environ[name] for name in _SERVER_VARIABLES if name in environ}


def url(port: int) -> str:
    """Return the address of an HTTP port of this machine."""
    return f"http://{HOST}:{port}"


def describe_exit(status: int) -> str:
    """Put a process's return code into words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"

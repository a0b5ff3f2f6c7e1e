"""NATS and Valkey as the local stack starts them: with its users and their rights."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelport_cli.stack.binaries import find_programs
from modelport_cli.stack.plan import Launch, nats_config, nats_launch, valkey_config, valkey_launch
from modelport_testing.running import NativeProcess, free_port, says, start_and_wait

SERVICES = ("secrets", "models", "gateway")


@dataclass(frozen=True)
class NatsWithRights:
    """A NATS server that knows the services' users."""

    port: int
    process: NativeProcess

    def url(self, user: str) -> str:
        """The address with a user's credentials."""
        return f"nats://{user}:{password(user)}@127.0.0.1:{self.port}"


@dataclass(frozen=True)
class ValkeyWithRights:
    """A Valkey that knows the gateway alone."""

    port: int

    @property
    def url(self) -> str:
        """The address with the gateway's credentials."""
        return self.url_of("gateway", password("gateway"))

    def url_of(self, user: str, secret: str) -> str:
        """The address with any credentials."""
        return f"redis://{user}:{secret}@127.0.0.1:{self.port}/0"


def password(user: str) -> str:
    """Return the password of a user on both servers."""
    return f"mp_{user}"


@contextmanager
def nats_with_rights(folder: Path) -> Iterator[NatsWithRights]:
    """Run a NATS server with the stack's configuration."""
    folder.mkdir()
    (folder / "nats.conf").write_text(nats_config())
    passwords = {user: password(user) for user in SERVICES}
    port = free_port()
    launch = nats_launch(find_programs(os.environ).nats_server, folder, folder / "store", port, passwords, os.environ)
    process = _process(launch, folder / "nats.log")
    try:
        start_and_wait(process, port, lambda: says(port, b"", b"INFO {"))
        yield NatsWithRights(port, process)
    finally:
        process.remove()


@contextmanager
def valkey_with_rights(folder: Path) -> Iterator[ValkeyWithRights]:
    """Run a Valkey with the stack's configuration."""
    folder.mkdir()
    port = free_port()
    (folder / "valkey.conf").write_text(valkey_config(port, password("gateway")))
    process = _process(
        valkey_launch(find_programs(os.environ).valkey_server, folder, os.environ), folder / "valkey.log"
    )
    try:
        start_and_wait(process, port, lambda: says(port, b"PING\r\n", b"-NOAUTH"))
        yield ValkeyWithRights(port)
    finally:
        process.remove()


def _process(launch: Launch, log: Path) -> NativeProcess:
    return NativeProcess(launch.argv, log, env=dict(launch.environment), cwd=launch.folder)

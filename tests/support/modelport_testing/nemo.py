"""Running the command line: in this process for speed, or as a process of its own for all that belongs to one."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str


def run_here(*arguments: str, stdin: bytes | str = b"") -> Outcome:
    """Run a command in this process, with no terminal on any side. Unexpected exceptions are raised."""
    from typer.testing import CliRunner

    from modelport_cli.app import app

    result = CliRunner().invoke(app, list(arguments), input=stdin, prog_name="nemo")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


def start_process(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    stdin: int = subprocess.PIPE,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Start a command as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "modelport_cli", *arguments],
        env=None if environment is None else dict(environment),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
    )


def run_process(*arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> Outcome:
    """Run a command as a process and wait for its end."""
    with start_process(*arguments, environment=environment) as process:
        out, err = process.communicate(stdin, timeout=TIMEOUT_S)
    return Outcome(process.returncode, out.decode(), err.decode())

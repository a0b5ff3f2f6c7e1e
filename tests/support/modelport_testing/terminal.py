"""A user's terminal: a shell in an empty folder, where `nemo` and `python` are those of one environment."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

COMMAND_TIMEOUT_S = 60.0
OWN_PROGRAMS = Path(sys.executable).parent
"""Where this project's own `nemo` and `python` are."""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    def ok(self) -> str:
        """Return what it printed. Raises AssertionError unless it succeeded."""
        assert self.code == 0, f"exit {self.code}\nstdout: {self.out}\nstderr: {self.err}"
        return self.out


class Terminal:
    """Runs commands against one platform, with nothing of this process's own settings but PATH."""

    def __init__(
        self,
        folder: Path,
        base_url: str,
        *,
        workspace: str | None = None,
        programs: Path = OWN_PROGRAMS,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._programs = programs
        self.environment = {
            "PATH": f"{programs}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "NMP_BASE_URL": base_url,
            **({"NMP_WORKSPACE": workspace} if workspace is not None else {}),
            **(environment or {}),
        }

    def run(self, *command: str, stdin: str = "", timeout: float = COMMAND_TIMEOUT_S) -> Done:
        """Run a command to its end."""
        done = subprocess.run(
            [self._find(command[0]), *command[1:]],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environment,
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def popen(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command whose output is read as it comes."""
        return subprocess.Popen(
            [self._find(command[0]), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=self.environment,
        )

    def nemo(self, *arguments: str, stdin: str = "") -> Done:
        """Run `nemo`."""
        return self.run("nemo", *arguments, stdin=stdin)

    def bash(self, script: str, timeout: float = COMMAND_TIMEOUT_S) -> Done:
        """Run a script that ends at its first failing command, each command shown on stderr."""
        return self.run("bash", "-euxo", "pipefail", "-c", script, timeout=timeout)

    def python(self, script: str, timeout: float = COMMAND_TIMEOUT_S) -> Done:
        """Run a Python script."""
        return self.run("python", "-c", script, timeout=timeout)

    def _find(self, program: str) -> str:
        own = self._programs / program
        return str(own) if own.exists() else program

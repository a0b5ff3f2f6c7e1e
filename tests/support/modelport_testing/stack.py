"""A local stack of a test's own: the program behind `make up`, in a data folder of its own, on a free port."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from modelport_cli.stack.datadir import open_data_folder, write_private
from modelport_cli.stack.keys import NATS_USERS, SCOPES
from modelport_testing.canaries import Kind, canary, hunt
from modelport_testing.polling import eventually_sync
from modelport_testing.servers import search_keys

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 40.0
NEMO = Path(sys.executable).parent / "nemo"

_READY = re.compile(r"^Ready after ([\d.]+) s: (http://\S+)$", re.MULTILINE)
_PART = re.compile(r"^\s*(\S+) +(?:ready .*|is ready again )\(pid (\d+)\)$", re.MULTILINE)


class LocalStack:
    """A stack that runs, or ran."""

    def __init__(
        self,
        data_dir: Path,
        console: Path,
        *,
        gateways: int = 1,
        port: int = 0,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = (str(NEMO), "services", "run"),
    ) -> None:
        self.data_dir = data_dir
        self._console = console
        self._gateways = gateways
        self._port = port
        # Whoever runs the tests may have a key of their own: no test sends it anywhere.
        inherited = {name: value for name, value in os.environ.items() if name != "NGC_API_KEY"}
        self.environment = inherited | dict(environment or {})
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def console(self) -> str:
        """What the supervisor has printed since the last start, both streams."""
        return self._console.read_text() if self._console.exists() else ""

    @property
    def base_url(self) -> str:
        """The platform's address."""
        found = _READY.search(self.console)
        assert found is not None, f"the stack is not ready:\n{self.console}"
        return found[2]

    @property
    def seconds_to_ready(self) -> float:
        """How long the start took, by the supervisor's own account."""
        found = _READY.search(self.console)
        assert found is not None, f"the stack is not ready:\n{self.console}"
        return float(found[1])

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def pids(self) -> dict[str, int]:
        """The parts' process ids by name, as of when each was last ready."""
        return {name: int(pid) for name, pid in _PART.findall(self.console)}

    def log(self, part: str) -> str:
        """What a part has printed, e.g. of `modelport_gateway`."""
        return (self.data_dir / "logs" / f"{part}.log").read_text(errors="replace")

    def launch(self) -> None:
        """Start the supervisor and return at once."""
        options = ["--port", str(self._port), "--data-dir", str(self.data_dir), "--gateways", str(self._gateways)]
        with self._console.open("wb") as output:
            self._process = subprocess.Popen(
                [*self._command, *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start the supervisor and wait until everything is ready. A new data folder gets keys that can be found."""
        if not self.data_dir.exists():
            _give_canaries(self.data_dir)
        self.launch()

        def ready() -> bool:
            if self._process is not None and self._process.poll() is not None:
                raise RuntimeError(f"the stack ended with {self._process.returncode}:\n{self.console}")
            # The last line of the greeting, so that nothing of it is missing.
            return "Ctrl-C stops it." in self.console

        eventually_sync(ready, READY_TIMEOUT_S)

    def wait(self, timeout: float = STOP_TIMEOUT_S) -> int:
        """Wait until the supervisor ends; return its exit code."""
        assert self._process is not None, "not started"
        return self._process.wait(timeout)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask the supervisor to end and return its exit code."""
        assert self._process is not None, "not started"
        self._process.send_signal(number)
        return self.wait()

    def kill(self) -> None:
        """Kill the supervisor alone, as a crash would."""
        assert self._process is not None, "not started"
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it whatever state it is in, and look for canaries in what is left."""
        if self._process is not None and self._process.poll() is None:
            self.search_keys()
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
        hunt().files(self.data_dir)
        hunt().files(self._console)

    def search_keys(self) -> None:
        """Look for canaries in its Valkey; how to log in there only the gateway knows.

        Where a process's environment cannot be read (macOS) nothing is searched.
        """
        gateways = [pid for name, pid in self.pids.items() if name.startswith("modelport_gateway")]
        with contextlib.suppress(OSError, KeyError):
            for pid in gateways[:1]:
                words = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
                search_keys(dict(word.split("=", 1) for word in words if "=" in word)["MODELPORT_REDIS_URL"])


def _give_canaries(data_dir: Path) -> None:
    folder = open_data_folder(data_dir)
    try:
        for caller in SCOPES:
            write_private(folder.keys / f"{caller}.token", canary(Kind.SERVICE) + "\n")
        for user in NATS_USERS:
            write_private(folder.keys / f"nats-{user}.password", canary(Kind.PASSWORD, "mp_") + "\n")
        write_private(folder.keys / "valkey.password", canary(Kind.PASSWORD) + "\n")
    finally:
        folder.close()


@contextmanager
def local_stack(
    folder: Path,
    *,
    gateways: int = 1,
    port: int = 0,
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] = (str(NEMO), "services", "run"),
) -> Iterator[LocalStack]:
    """Run a stack whose data and console output are in `folder`, ready when this is entered."""
    folder.mkdir(parents=True, exist_ok=True)
    stack = LocalStack(
        folder / "data",
        folder / "console.txt",
        gateways=gateways,
        port=port,
        environment=environment,
        command=command,
    )
    try:
        stack.start()
        yield stack
    finally:
        stack.close()


def is_running(pid: int) -> bool:
    """Tell whether a process exists and is no zombie."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(done.stdout.strip()) and not done.stdout.strip().startswith("Z")

"""How a test server runs: as a process of this machine, or in a container (MODELPORT_TEST_SERVERS)."""

import io
import os
import random
import signal
import socket
import subprocess
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from modelport_testing.polling import eventually_sync

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
_PORTS = range(20000, 32000)


def in_containers() -> bool:
    """Tell whether MODELPORT_TEST_SERVERS asks for containers; native processes otherwise."""
    choice = os.environ.get("MODELPORT_TEST_SERVERS", "native")
    if choice not in {"native", "containers"}:
        raise AssertionError(f"MODELPORT_TEST_SERVERS is {choice!r}: use native or containers")
    return choice == "containers"


def free_port() -> int:
    """Pick a port that nothing listens on.

    It lies below the range that outgoing connections take theirs from, so a stopped server finds it free again.
    """
    picker = random.SystemRandom()
    while True:
        port = picker.choice(_PORTS)
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Running(Protocol):
    """One server that can be started and ended in every way tests need."""

    @property
    def alive(self) -> bool: ...
    def start(self) -> None: ...
    def stop(self) -> None:
        """End it in good order; nothing when it does not run."""

    def kill(self) -> None:
        """End it at once, as a crash would; nothing when it does not run."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def remove(self) -> None:
        """End it and leave nothing behind."""

    def log(self) -> str: ...


class NativeProcess:
    """A server as a child process, its output in a file."""

    def __init__(
        self, command: Sequence[str | Path], log_file: Path, *, stop_signal: int = signal.SIGTERM, **popen: Any
    ) -> None:
        self._command = [str(word) for word in command]
        self._log_file = log_file
        self._stop_signal = stop_signal
        self._popen = popen
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None, "the server does not run"
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        assert not self.alive, "the server runs already"
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **self._popen
            )

    def stop(self) -> None:
        self._end(self._stop_signal)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        self.kill()

    def log(self) -> str:
        return self._log_file.read_text(errors="replace")

    def send_signal(self, number: int) -> None:
        """Send it a signal and return at once."""
        self._signal(number)

    def wait(self, timeout_s: float) -> int:
        """Wait until it has ended by itself; return its return code."""
        assert self._process is not None, "the server was not started, or has been ended"
        return self._process.wait(timeout_s)

    def _signal(self, number: int) -> None:
        assert self._process is not None, "the server does not run"
        self._process.send_signal(number)

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(number)
            # A paused process takes no other signal than these two.
            self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
        self._process = None


class Container:
    """A server in a container of a Docker engine, reached through a port of this machine."""

    def __init__(
        self,
        image: str,
        command: Sequence[str],
        *,
        port: int,
        inner_port: int,
        volume: tuple[Path, str] | None = None,
        environment: dict[str, str] | None = None,
        as_caller: bool = False,
    ) -> None:
        """`as_caller`: it runs as whoever runs the tests, and what it writes into its volume is theirs."""
        # The reaper is an image of its own that tests must not depend on; every container is removed by its test.
        os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
        from testcontainers.core.container import DockerContainer

        container = DockerContainer(image).with_command(list(command)).with_bind_ports(inner_port, port)
        if volume is not None:
            container = container.with_volume_mapping(str(volume[0]), volume[1], "rw")
        for name, value in (environment or {}).items():
            container = container.with_env(name, value)
        if as_caller:
            container = container.with_kwargs(user=f"{os.geteuid()}:{os.getegid()}")
        self._container = container
        self._started = False

    @property
    def alive(self) -> bool:
        if not self._started:
            return False
        self._wrapped.reload()
        return bool(self._wrapped.status == "running")

    def start(self) -> None:
        if self._started:
            self._wrapped.start()
        else:
            self._container.start()
            self._started = True

    def stop(self) -> None:
        if self.alive:
            self._wrapped.stop()

    def kill(self) -> None:
        if self.alive:
            self._wrapped.kill()

    def pause(self) -> None:
        self._wrapped.pause()

    def resume(self) -> None:
        self._wrapped.unpause()

    def remove(self) -> None:
        if self._started:
            self._container.stop(force=True)
            self._started = False

    def log(self) -> str:
        return str(self._wrapped.logs().decode(errors="replace"))

    def run(
        self, command: Sequence[str], environment: Mapping[str, str], given: Path | None
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run a program beside the server; `given` is a file of this machine that it gets as its last argument."""
        words = list(command)
        if given is not None:
            archive = io.BytesIO()
            with tarfile.open(fileobj=archive, mode="w") as tar:
                tar.add(given, "given")
            self._wrapped.put_archive("/tmp", archive.getvalue())
            words.append("/tmp/given")
        code, (output, complaint) = self._wrapped.exec_run(words, environment=dict(environment), demux=True)
        return subprocess.CompletedProcess(words, code, output or b"", complaint or b"")

    @property
    def _wrapped(self) -> Any:
        return self._container.get_wrapped_container()


def start_and_wait(server: Running, port: int, ready: Callable[[], bool]) -> None:
    """Start a server and wait until `ready` says so; AssertionError with its log when it does not come up."""
    # Else the server that has the port would answer for this one before this one has noticed.
    assert is_free(port), f"a test server did not start: port {port} is taken"
    server.start()

    def up_or_ended() -> bool:
        try:
            answers = ready()
        except OSError:
            answers = False
        if not server.alive:
            raise RuntimeError("the server ended")
        return answers

    try:
        eventually_sync(up_or_ended, START_TIMEOUT_S)
    except (AssertionError, RuntimeError) as error:
        log = server.log()[-2000:]
        server.remove()
        raise AssertionError(f"a test server did not start ({error}):\n{log}") from error
    except BaseException:
        server.remove()
        raise


def says(port: int, send: bytes, expect: bytes) -> bool:
    """Connect to a port of 127.0.0.1, send, and tell whether what comes back begins with `expect`."""
    with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
        connection.sendall(send)
        answer = b""
        while len(answer) < len(expect):
            part = connection.recv(4096)
            if not part:
                return False
            answer += part
        return answer.startswith(expect)

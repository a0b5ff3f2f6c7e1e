"""A real PostgreSQL for tests: one server for a test session, one database for each test that asks."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from modelport_testing.running import (
    Container,
    NativeProcess,
    Running,
    free_port,
    in_containers,
    says,
    start_and_wait,
)

POSTGRES_IMAGE = "postgres:17-alpine"
_BINARIES = Path("/usr/lib/postgresql")
_USER = "modelport"
_PASSWORD = "modelport"
_STARTUP_CHECK = bytes.fromhex("0000000804d2162f")
"""An SSLRequest: a server that is up answers it with one byte (PostgreSQL manual, 55.2.10)."""


class PostgresServer:
    """A PostgreSQL on 127.0.0.1 that trusts local connections and does not care about crashes."""

    def __init__(self, running: Running, port: int) -> None:
        self._running = running
        self._names = count(1)
        self.port = port
        """The TCP port on 127.0.0.1."""

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database, as libpq and the services take it."""
        return f"postgresql://{_USER}:{_PASSWORD}@127.0.0.1:{self.port}/{database}"

    def create_database(self, prefix: str = "test") -> str:
        """Make an empty database and return its name."""
        name = f"{prefix}_{next(self._names)}"
        self._sql(f'CREATE DATABASE "{name}"')
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self._sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def stop(self) -> None:
        """End it in good order."""
        self._running.stop()

    def kill(self) -> None:
        """End it as a crash would."""
        self._running.kill()

    def pause(self) -> None:
        """Halt it, and all processes that serve its connections."""
        self._running.pause()
        self._signal_children("STOP")

    def resume(self) -> None:
        """Let it go on after a pause."""
        self._signal_children("CONT")
        self._running.resume()

    def start(self) -> None:
        """Start it (again), on the same port, and wait until it is ready."""
        start_and_wait(self._running, self.port, self._ready)

    def close(self) -> None:
        """End it for good."""
        self._running.stop()
        self._running.remove()

    def _ready(self) -> bool:
        return says(self.port, _STARTUP_CHECK, b"N") and self._accepts()

    def _signal_children(self, name: str) -> None:
        # An engine halts all that runs in a container by itself.
        if isinstance(self._running, NativeProcess):
            subprocess.run(["pkill", f"-{name}", "-P", str(self._running.pid)], timeout=10, check=False)

    def _accepts(self) -> bool:
        # While it recovers from a crash it answers the line above but refuses to work.
        return self._psql("SELECT 1").returncode == 0

    def _sql(self, statement: str) -> None:
        done = self._psql(statement)
        assert done.returncode == 0, f"PostgreSQL refused {statement}: {done.stderr}"

    def _psql(self, statement: str) -> "subprocess.CompletedProcess[str]":
        command = [str(_binary("psql")), "-X", "-q", "-d", self.url(), "-c", statement]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def start_postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL; its files are gone afterwards.

    PostgreSQL refuses to run as root, so root runs it as the user `postgres` (or `nobody`), in a folder of its own
    that this user can reach, which pytest's are not.
    """
    with tempfile.TemporaryDirectory(prefix="modelport-pg-") as folder:
        port = free_port()
        running = _container(port) if in_containers() else _native(Path(folder), port)
        server = PostgresServer(running, port)
        server.start()
        try:
            yield server
        finally:
            server.close()


def _container(port: int) -> Running:
    environment = {"POSTGRES_USER": _USER, "POSTGRES_PASSWORD": _PASSWORD, "POSTGRES_DB": "postgres"}
    return Container(POSTGRES_IMAGE, [], port=port, inner_port=5432, environment=environment)


def _native(folder: Path, port: int) -> Running:
    as_user: dict[str, object] = {"cwd": folder}
    if os.geteuid() == 0:
        account = _unprivileged_account()
        folder.chmod(0o755)
        shutil.chown(folder, account.pw_uid, account.pw_gid)
        as_user |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    data = folder / "data"
    initdb = [_binary("initdb"), "-D", data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
    done = subprocess.run(initdb, capture_output=True, text=True, timeout=120, check=False, **as_user)  # type: ignore[call-overload]
    assert done.returncode == 0, f"initdb failed: {done.stderr}"
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_connections": "200",
        "shared_buffers": "32MB",
        "autovacuum": "off",
    }
    command: list[str | Path] = [_binary("postgres"), "-D", data, "-p", str(port)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    return NativeProcess(command, folder / "postgres.log", stop_signal=signal.SIGINT, **as_user)


def _unprivileged_account() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise AssertionError("running as root, and there is no user postgres or nobody to run PostgreSQL as")


def postgres_program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs."""
    return str(_binary(name))


def _binary(name: str) -> Path:
    installed = sorted(_BINARIES.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    if installed:
        return installed[-1]
    on_path = shutil.which(name)
    if on_path is not None:
        return Path(on_path)
    raise AssertionError(
        f"PostgreSQL's {name} is missing: apt-get install postgresql (Debian), brew install postgresql (macOS)"
    )

"""A real PostgreSQL for tests: one server for a test session, one database for each test that asks."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

from modelport_testing.canaries import Kind, Place, canary, hunt
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
_INNER_PORT = 5432
_USER = "modelport"
_PASSWORD = canary(Kind.PASSWORD)
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
        self.search(name)
        self._sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def search(self, name: str) -> None:
        """Look for canaries in a database, in all rows of all tables.

        One of more than 64 MiB was filled by the hundred thousand for a query's plan, and is left out.
        """
        if hunt().folder is not None:
            rows = (
                "SELECT database_to_xml(true, false, '') WHERE pg_database_size(current_database()) < 64 * 1024 * 1024"
            )
            dump = _statement(f"SET lock_timeout = '1s'; {rows}")
            hunt().content(Place.POSTGRESQL, name, self.run(*dump, url=self.url(name)))

    def run(
        self,
        program: str,
        *arguments: str,
        url: str | None = None,
        given: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run one of PostgreSQL's client programs, of the server's own version; return what it prints.

        `url` says in which database and as whom. `given` is a file that it gets as its last argument. AssertionError
        with its complaint where it fails.
        """
        done = self._run([program, *arguments], url or self.url(), given, environment or {})
        assert done.returncode == 0, f"{program} failed: {done.stderr.decode(errors='replace')}"
        return done.stdout

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
        hunt().content(Place.LOG, "PostgreSQL's log", self._running.log().encode())
        self._running.remove()

    def _ready(self) -> bool:
        return says(self.port, _STARTUP_CHECK, b"N") and self._accepts()

    def _signal_children(self, name: str) -> None:
        # An engine halts all that runs in a container by itself.
        if isinstance(self._running, NativeProcess):
            subprocess.run(["pkill", f"-{name}", "-P", str(self._running.pid)], timeout=10, check=False)

    def _accepts(self) -> bool:
        # While it recovers from a crash it answers the line above but refuses to work.
        return self._run(_statement("SELECT 1"), self.url(), None, {}).returncode == 0

    def _sql(self, statement: str) -> None:
        self.run(*_statement(statement))

    def _run(
        self, command: list[str], url: str, given: Path | None, more: Mapping[str, str]
    ) -> "subprocess.CompletedProcess[bytes]":
        parts = urlsplit(url)
        environment = {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(_INNER_PORT if isinstance(self._running, Container) else self.port),
            "PGUSER": parts.username or _USER,
            "PGPASSWORD": parts.password or _PASSWORD,
            "PGDATABASE": parts.path.removeprefix("/"),
            **more,
        }
        if isinstance(self._running, Container):
            return self._running.run(command, environment, given)
        words = [str(_binary(command[0])), *command[1:], *([] if given is None else [str(given)])]
        return subprocess.run(words, env=os.environ | environment, capture_output=True, timeout=60, check=False)


def _statement(sql: str) -> list[str]:
    return ["psql", "-X", "-q", "-c", sql]


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
    return Container(POSTGRES_IMAGE, [], port=port, inner_port=_INNER_PORT, environment=environment)


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

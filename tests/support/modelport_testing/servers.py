"""Real servers for tests: NATS with JetStream, and Valkey.

Each `start_...` returns a running server that is also a context manager: leaving it ends the server.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import redis

from modelport_cli.stack.binaries import NATS_SERVER, VALKEY_SERVER, find_program
from modelport_testing.canaries import Place, hunt
from modelport_testing.running import (
    Container,
    NativeProcess,
    Running,
    free_port,
    in_containers,
    says,
    start_and_wait,
)

NATS_IMAGE = "nats:2-alpine"
VALKEY_IMAGE = "valkey/valkey:9"
_ATTEMPTS = 5


class TestServer:
    """A server that keeps its address through stops, crashes and restarts."""

    __test__ = False

    def __init__(self, running: Running, port: int, ready: Callable[[], bool]) -> None:
        self._running = running
        self._ready = ready
        self.port = port
        """The TCP port on 127.0.0.1."""

    @property
    def alive(self) -> bool:
        """Whether it runs (paused counts as running)."""
        return self._running.alive

    def start(self) -> None:
        """Start it again after a stop or kill, on the same port, and wait until it is ready."""
        start_and_wait(self._running, self.port, self._ready)

    def stop(self) -> None:
        """End it in good order and wait for that."""
        self._running.stop()

    def kill(self) -> None:
        """End it as a crash would and wait for that."""
        self._running.kill()

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Halt it without closing a connection: its peers see silence."""
        self._running.pause()

    def resume(self) -> None:
        """Let it go on after a pause."""
        self._running.resume()

    def close(self) -> None:
        """End it for good."""
        self._running.remove()

    def log(self) -> str:
        """Return what it has printed."""
        return self._running.log()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start_together(servers: Iterable[TestServer]) -> None:
    """Start servers at the same time, and wait until all are ready: most of a start is waiting."""
    with ThreadPoolExecutor() as pool:
        for starting in [pool.submit(server.start) for server in servers]:
            starting.result()


class NatsServer(TestServer):
    """A NATS server whose JetStream keeps its files through restarts."""

    def __init__(self, running: Running, port: int, store: Path) -> None:
        super().__init__(running, port, lambda: says(port, b"", b"INFO {"))
        self._store = store

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"nats://127.0.0.1:{self.port}"

    def wipe(self) -> None:
        """Stop it, drop all streams and consumers, start it again."""
        self.stop()
        for entry in self._store.iterdir():  # the folder itself may be a container's volume
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        self.start()

    def close(self) -> None:
        super().close()
        hunt().files(self._store.parent)


class ValkeyServer(TestServer):
    """A Valkey without persistence that never evicts: a restart empties it, as in production."""

    def __init__(self, running: Running, port: int) -> None:
        super().__init__(running, port, lambda: says(port, b"PING\r\n", b"+PONG"))

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"redis://127.0.0.1:{self.port}/0"

    def close(self) -> None:
        if self.alive:
            search_keys(self.url)
        super().close()


def search_keys(url: str) -> None:
    """Look for canaries in all that a Redis holds; in nothing where it does not answer."""
    with contextlib.suppress(redis.RedisError), redis.Redis.from_url(url, socket_timeout=1.0) as client:
        held = []
        for key in client.scan_iter(count=1000):
            held.append(key)
            for read in (client.get, client.hgetall, lambda one: client.zrange(one, 0, -1, withscores=True)):
                with contextlib.suppress(redis.ResponseError):
                    held.append(repr(read(key)).encode())
                    break
        hunt().content(Place.VALKEY, url.rpartition("@")[2], b"\n".join(held))


AnyServer = TypeVar("AnyServer", bound=TestServer)


def start_nats(data_dir: Path, *, port: int | None = None) -> NatsServer:
    """Start a NATS server with JetStream, its files and log in `data_dir`; on a free port unless one is given."""
    store = data_dir / "jetstream"
    store.mkdir(parents=True, exist_ok=True)
    return _first_that_starts(port, lambda chosen: NatsServer(_nats(data_dir, store, chosen), chosen, store))


def start_valkey(data_dir: Path, *, port: int | None = None) -> ValkeyServer:
    """Start a Valkey, its log in `data_dir`; on a free port unless one is given."""
    data_dir.mkdir(parents=True, exist_ok=True)
    return _first_that_starts(port, lambda chosen: ValkeyServer(_valkey(data_dir, chosen), chosen))


def _first_that_starts(port: int | None, make: Callable[[int], AnyServer]) -> AnyServer:
    # Between picking a free port and using it another process may take it.
    for attempt in range(_ATTEMPTS):
        server = make(port or free_port())
        try:
            server.start()
        except AssertionError:
            if port is not None or attempt == _ATTEMPTS - 1:
                raise
        else:
            return server
    raise AssertionError("unreachable")


def _nats(data_dir: Path, store: Path, port: int) -> Running:
    if in_containers():
        command = ["-js", "-sd", "/data"]
        return Container(NATS_IMAGE, command, port=port, inner_port=4222, volume=(store, "/data"), as_caller=True)
    program = find_program(NATS_SERVER, os.environ)
    return NativeProcess(
        [program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", store], data_dir / "nats-server.log"
    )


def _valkey(data_dir: Path, port: int) -> Running:
    options = ["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]
    if in_containers():
        # Valkey's guard against open ports would refuse the engine's side of the bridge, where all clients come from.
        command = ["valkey-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/data", *options]
        return Container(VALKEY_IMAGE, command, port=port, inner_port=6379, volume=(data_dir, "/data"), as_caller=True)
    program = find_program(VALKEY_SERVER, os.environ)
    return NativeProcess(
        [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", data_dir, *options],
        data_dir / "valkey-server.log",
    )

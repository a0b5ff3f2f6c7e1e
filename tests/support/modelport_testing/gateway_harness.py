"""A gateway's data plane behind a real uvicorn, in a thread and event loop of its own."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import uvicorn
import uvloop

from modelport_contracts.egress import EgressAllow
from modelport_contracts.records import Source
from modelport_gateway.account.access_log import AccessLog
from modelport_gateway.admit.timeouts import Timeouts
from modelport_gateway.data_plane import DataPlane, make_protocol
from modelport_gateway.prepare.secrets import SecretsClient, SecretValues
from modelport_gateway.route.table import RoutingTable
from modelport_kit.service_get import ServiceGet
from modelport_testing.canaries import Kind, Place, canary, hunt

T = TypeVar("T")
BASE = "/apis/inference-gateway/v2/workspaces/default"
LOOPBACK = EgressAllow.parse(["127.0.0.0/8", "::1"])
"""Where the providers of tests are."""
FAST = Timeouts(head_s=0.6, first_byte_s=5.0, idle_s=5.0, keep_alive_s=10.0, linger_s=0.3)


@dataclass
class MemoryEntry:
    """One record."""

    present: bool
    revision: int
    payload: bytes | None
    verified: bool = True
    compiled: Any = None


@dataclass
class MemoryTable:
    """A routing table in memory, for what does not depend on Redis. Everything in it is known at once.

    With `hides` nothing is known without asking, as on a gateway that has just started.
    """

    records: dict[str, MemoryEntry] = field(default_factory=dict)
    indexes: dict[str, dict[str, str]] = field(default_factory=dict)
    hides: bool = False
    asked: list[str] = field(default_factory=list)

    def put(self, key: str, payload: bytes, revision: int = 1) -> None:
        """Write a record."""
        self.records[key] = MemoryEntry(True, revision, payload)

    def remove(self, key: str, revision: int = 1) -> None:
        """Write a tombstone."""
        self.records[key] = MemoryEntry(False, revision, None)

    def peek(self, key: str, /) -> MemoryEntry | None:
        return None if self.hides else self._find(key)

    async def get(self, key: str, /, *, min_revision: int = 0) -> MemoryEntry:
        self.asked.append(key)
        return self._find(key)

    async def get_many(self, wanted: Sequence[str], /) -> dict[str, MemoryEntry]:
        self.asked.extend(wanted)
        return {key: self._find(key) for key in wanted}

    def peek_index(self, name: str, /) -> Mapping[str, str] | None:
        return None if self.hides else self.indexes.setdefault(name, {})

    async def index(self, name: str, source: Source, /) -> Mapping[str, str]:
        self.asked.append(name)
        return self.indexes.setdefault(name, {})

    def _find(self, key: str) -> MemoryEntry:
        return self.records.setdefault(key, MemoryEntry(False, 0, None))


MakeTable = Callable[[], Awaitable[RoutingTable]]


class Gateway:
    """A running data plane; `url` is where it listens. Use as an async context manager.

    What is not an inference path goes to `app`, which answers 200 with the path by default.
    """

    def __init__(
        self,
        table: RoutingTable | MakeTable,
        *,
        secrets_url: str = "http://127.0.0.1:1",
        service_token: str | None = None,
        timeouts: Timeouts = FAST,
        app: Any = None,
        **options: Any,
    ) -> None:
        self._table = table
        self._secrets_url = secrets_url
        self._service_token = service_token or canary(Kind.SERVICE)
        self._timeouts = timeouts
        self._options = options
        self._app = app or echo_path
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="gateway under test", daemon=True)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.access_log = bytearray()
        self.plane: DataPlane
        self.secrets: SecretValues

    async def __aenter__(self) -> Self:
        self._thread.start()
        await asyncio.wrap_future(self._started)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.should_exit = True
        await asyncio.to_thread(self._thread.join, 20)
        assert not self._thread.is_alive(), "the gateway did not stop"
        hunt().content(Place.ACCESS_LOG, self.url, bytes(self.access_log))

    async def call(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the gateway's event loop."""
        assert self._loop is not None
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(make(), self._loop))

    def _run(self) -> None:
        try:
            uvloop.run(self._serve())
        except BaseException as error:
            if not self._started.done():
                self._started.set_exception(error)
            raise

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        table = await self._table() if callable(self._table) else self._table
        async with ServiceGet(self._secrets_url, self._service_token) as secrets:
            client = SecretsClient(secrets)
            self.secrets = SecretValues(table, client, clock=self._loop.time)
            options: dict[str, Any] = {"gateway_id": "test", "tick_s": 0.02, "egress_allow": LOOPBACK} | self._options
            self.plane = DataPlane(
                table=table,
                secrets=self.secrets,
                own_addresses=[("127.0.0.1", self.port)],
                access_log=AccessLog(self.access_log.extend),
                timeouts=self._timeouts,
                **options,
            )
            self.plane.start()
            sweeping = asyncio.create_task(self.secrets.run_sweeps())
            config = uvicorn.Config(
                self._app,
                http=make_protocol(self.plane),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=5,
            )
            self._server = uvicorn.Server(config)
            serving = asyncio.ensure_future(self._server.serve(sockets=[self._socket]))
            while not self._server.started and not serving.done():
                await asyncio.sleep(0.005)
            self._started.set_result(None)
            await serving
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)
            await self.plane.close()
            if hasattr(table, "close"):
                await table.close()


async def echo_path(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI app that answers with method, path and body."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    text = b"asgi %b %b %b" % (scope["method"].encode(), scope["path"].encode(), body)
    headers = [(b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else text})

"""Wiring of the gateway: the one place that makes its parts and starts them."""

import asyncio
import contextlib
import gc
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

import httpx
import structlog
from fastapi import FastAPI

from modelport_bus import Bus
from modelport_contracts.records import SOURCES
from modelport_gateway.account.access_log import AccessLog
from modelport_gateway.account.exposition import DataPlaneFamilies
from modelport_gateway.account.sink import Sink
from modelport_gateway.api.health import edge_router
from modelport_gateway.api.ready import ready_router
from modelport_gateway.data_plane import DataPlane, make_protocol
from modelport_gateway.front_door.forward import Service, front_door_router
from modelport_gateway.front_door.platform import DESCRIPTION, Platform, platform_router
from modelport_gateway.prepare.secrets import SecretsClient, SecretValues
from modelport_gateway.send.tls import system_context
from modelport_gateway.settings import GatewaySettings
from modelport_gateway.sync.exposition import fleet_families, snapshot_families, table_families
from modelport_gateway.sync.route_sync import RouteSync
from modelport_gateway.sync.snapshot import SnapshotKeeper
from modelport_gateway.sync.snapshot_file import SnapshotFile, parse_key
from modelport_gateway.sync.sources import SourceClient
from modelport_kit import http
from modelport_kit.dependencies import Dependencies, answers, stands
from modelport_kit.health import Readiness
from modelport_kit.lifecycle import BackgroundLoops, HeldSockets, serve, uvicorn_config
from modelport_kit.logging import configure_logging
from modelport_kit.metrics.parts import bus_families, dependency_families, loop_families
from modelport_kit.metrics.service import ServiceMetrics
from modelport_kit.service_client import service_client
from modelport_kit.service_get import ServiceGet
from modelport_kit.settings import SettingsError, load, read_secret_file
from modelport_routing import Fence, GatewayWatch, Lease, NearCache, RouteWriter

logger = structlog.get_logger(__name__)

SNAPSHOT_LINE = b"x-modelport-table: snapshot"
JOIN_PATIENCE_S = 10.0
"""How long clients at a shared socket wait for a gateway that starts while Redis is away; then it tells them itself."""


class Gateway:
    """One gateway process. Make it inside the event loop it runs on."""

    def __init__(self, settings: GatewaySettings, listening: list[socket.socket]) -> None:
        """Raises SettingsError for tokens that cannot be read."""
        own_token = read_secret_file(settings.service_token_file, "MODELPORT_SERVICE_TOKEN_FILE")
        front_token = read_secret_file(settings.front_door_token_file, "MODELPORT_FRONT_DOOR_TOKEN_FILE")
        gateway_id = settings.gateway_id or secrets.token_hex(6)
        self._settings = settings
        self._listening = listening
        self._shared = settings.shared_sockets()
        self._admitting = asyncio.Event()
        self._metrics_listener = settings.metrics_socket()
        self.metrics = ServiceMetrics("gateway")
        self._sources = {
            "models": service_client(settings.models_url, own_token, timeout_s=30),
            "secrets": service_client(settings.secrets_url, own_token, timeout_s=30),
        }
        self._reveal = ServiceGet(settings.secrets_url, own_token)
        self._front_door: dict[Service, httpx.AsyncClient] = {
            "models": service_client(settings.models_url, front_token, timeout_s=30),
            "secrets": service_client(settings.secrets_url, front_token, timeout_s=30),
        }
        self._bus = Bus(settings.nats_url, name="modelport-gateway", keeps_stream=False)
        self._writer = RouteWriter(settings.redis_url)
        self._table = NearCache(settings.redis_url, literal=not settings.near_cache)
        self._lease = Lease()
        self._fence = Fence(self._table, self._lease, gateway_id=gateway_id, on_join=self._admit)
        self._watch = GatewayWatch(settings.redis_url, boot_id=self._fence.boot_id)
        self._sync = RouteSync(
            self._bus, self._writer, self._table, [SourceClient(name, self._sources[name]) for name in SOURCES]
        )
        self._sink = _sink(settings)
        access_log = AccessLog(self._sink.write)
        self._secrets = SecretValues(
            self._table,
            SecretsClient(self._reveal),
            clock=asyncio.get_running_loop().time,
            grace_s=settings.stale_secret_s,
        )
        self._snapshot = self._keeper(settings)
        self.data_plane = DataPlane(
            table=self._table,
            secrets=self._secrets,
            gateway_id=gateway_id,
            lease=self._lease if settings.lease else None,
            own_addresses=self._own_addresses(),
            egress_allow=settings.egress_allow,
            access_log=access_log,
            cors_origins=settings.cors_origins,
            tls=_tls(settings),
        )
        self.data_plane.is_serving = False
        self.readiness = Readiness(self._conditions())
        self.app = http.make_app(
            "Modelport", DESCRIPTION, lifespan=self._lifespan, readiness=self.readiness, metrics=self.metrics
        )
        self.app.state.readiness = self.readiness
        self.app.state.lease = self._lease
        self.app.state.watch = self._watch
        self.app.state.front_door = self._front_door
        self.app.state.platform = Platform(
            self._front_door, self._connections(), self._watch, settings.metrics_urls, self._note
        )
        for router in (platform_router(), edge_router(), ready_router(), front_door_router()):
            self.app.include_router(router)
        self._dependencies = Dependencies(
            {name: answers(client) for name, client in self._sources.items()}
            | {name: stands(connected) for name, connected in self._connections().items()}
        )
        self._loops = self._make_loops()
        self.metrics.add(DataPlaneFamilies(self.data_plane.metrics, self.data_plane.state, access_log).collect)
        self.metrics.add(lambda: table_families(self._table, self._sync.reconcilers))
        self.metrics.add(lambda: fleet_families(self._fence, self._lease, self._watch))
        self.metrics.add(lambda: bus_families(self._bus))
        self.metrics.add(lambda: loop_families(self._loops))
        self.metrics.add(lambda: dependency_families(self._dependencies.up))
        self.metrics.add(lambda: snapshot_families(self._snapshot))

    def _make_loops(self) -> BackgroundLoops:
        loops = BackgroundLoops()
        consumed, swept = loops.succeeds("route changes"), loops.succeeds("secret sweeps")
        turned = {source: loops.succeeds(f"route repair {source}") for source in SOURCES}
        looked = loops.succeeds("dependencies")
        loops.add("route changes", lambda: self._sync.run_consumer(consumed))
        loops.add("route repair", lambda: self._sync.run_reconciler(turned))
        loops.add("secret sweeps", lambda: self._secrets.run_sweeps(swept))
        loops.add("dependencies", lambda: self._dependencies.run(looked))
        self._lease.on_grant = loops.succeeds("fence")
        self._watch.on_look = loops.succeeds("gateway watch")
        if (keeper := self._snapshot) is not None:
            kept = loops.succeeds("snapshot")
            loops.add("snapshot", lambda: keeper.run(kept))
        return loops

    def _keeper(self, settings: GatewaySettings) -> SnapshotKeeper | None:
        if settings.snapshot_file is None:
            return None
        if settings.gateway_id is None:
            raise SettingsError("MODELPORT_SNAPSHOT_FILE needs MODELPORT_GATEWAY_ID: the file is one gateway's own")
        if settings.snapshot_key is None:
            raise SettingsError("MODELPORT_SNAPSHOT_FILE needs MODELPORT_SNAPSHOT_KEY: the file holds secrets")
        key = parse_key(settings.snapshot_key.get_secret_value())
        return SnapshotKeeper(
            SnapshotFile(settings.snapshot_file, key, settings.gateway_id),
            self._table,
            self._secrets,
            self._lease,
            max_age_s=settings.snapshot_max_age_s,
            on_serving=self._serve_snapshot,
        )

    def _serve_snapshot(self, is_serving: bool) -> None:
        """Admit inference without Redis (rule 22), and mark every reply for as long as that lasts."""
        self.data_plane.context.extra_lines = [SNAPSHOT_LINE] if is_serving else []
        if is_serving:
            self._lease.is_away = True
            self._admit()
            self.readiness.waiting_for()  # latched from here on, whether or not somebody asks in time

    def _note(self) -> str:
        return "" if self._snapshot is None else self._snapshot.note()

    def _own_addresses(self) -> list[tuple[str, int]]:
        """Return what nobody may name as a provider: where this gateway listens, and every metrics page known to it."""
        metrics = [] if self._metrics_listener is None else [self._metrics_listener]
        pages = map(urlsplit, self._settings.metrics_urls.values())
        return [
            *(listener.getsockname()[:2] for listener in (*self._listening, *self._shared, *metrics)),
            *((page.hostname, page.port) for page in pages if page.hostname and page.port),
        ]

    def _conditions(self) -> dict[str, Callable[[], bool]]:
        """What must have been up once before this gateway takes requests (docs/wire.md, 3.7)."""
        return {
            "redis": lambda: self._fence.has_joined or self._note() != "",
            "models": lambda: "models" in self._table.complete or self._note() != "",
            "secrets": lambda: "secrets" in self._table.complete or self._note() != "",
        }

    def _connections(self) -> dict[str, Callable[[], bool]]:
        return {"redis": lambda: self._table.connected, "nats": lambda: self._bus.connected}

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._sink.close)
            for client in (*self._sources.values(), *self._front_door.values()):
                await stack.enter_async_context(client)
            await stack.enter_async_context(self._reveal)
            await stack.enter_async_context(self._writer)
            await stack.enter_async_context(self._table)
            await stack.enter_async_context(self._watch)
            # Runs after the data plane has ended its last request: until then others must count on this process.
            stack.push_async_callback(self._fence.leave)
            await stack.enter_async_context(self._bus)
            self._loops.start()
            stack.push_async_callback(self._loops.stop)
            self.data_plane.start()
            stack.push_async_callback(self.data_plane.close)
            # What is loaded now stays. Walking through it again, when many connections or routes come at once, would
            # stop every stream for 75 ms.
            gc.collect()
            gc.freeze()
            yield

    def _admit(self) -> None:
        """Take inference requests: others now wait for this process before they call a change applied (rule 22)."""
        self.data_plane.is_serving = True
        self._admitting.set()

    async def _until_admitting(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(JOIN_PATIENCE_S):
                await self._admitting.wait()

    async def run(self) -> None:
        """Serve until told to stop."""
        config = uvicorn_config(self.app, self._settings, http=make_protocol(self.data_plane))
        with self.metrics.served(self._metrics_listener):
            held = HeldSockets(self._shared, self._until_admitting)
            await serve(config, self._listening, held=held, before_exit=self._leave)

    async def _leave(self) -> None:
        """Say no to readiness probes and close connections after their replies, while requests are still taken."""
        self.readiness.draining = True
        self.data_plane.begin_drain()
        self._watch.end_waits()
        await asyncio.sleep(self._settings.lame_duck_s)


def _sink(settings: GatewaySettings) -> Sink:
    try:
        return Sink(settings.access_log_file)
    except OSError as error:
        path = settings.access_log_file
        raise SettingsError(f"MODELPORT_ACCESS_LOG_FILE: cannot write {path}: {error.strerror}") from None


def _tls(settings: GatewaySettings) -> ssl.SSLContext:
    try:
        return system_context(settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        path, reason = settings.ca_file, getattr(error, "reason", None) or error.strerror
        raise SettingsError(f"MODELPORT_CA_FILE: {path} is no readable PEM file of certificates: {reason}") from None


async def main() -> None:
    """Serve until told to stop."""
    settings: GatewaySettings = load(GatewaySettings)
    configure_logging("gateway", settings.log_level, settings.log_format)
    await Gateway(settings, settings.sockets()).run()

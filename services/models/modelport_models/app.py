"""Wiring of the models service: the one place that makes its parts and starts them."""

import contextlib
import gc
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from fastapi import FastAPI

from modelport_bus.bus import Bus
from modelport_contracts.events import MODELS_CONSUMER, subjects_of_kind
from modelport_kit import http
from modelport_kit.database.audit import AuditTrail
from modelport_kit.database.engine import Database
from modelport_kit.database.migrate import prepare
from modelport_kit.database.outbox import OutboxPublisher
from modelport_kit.database.restored import compare_with_stream
from modelport_kit.dependencies import Dependencies, answers, stands
from modelport_kit.health import Readiness
from modelport_kit.lifecycle import BackgroundLoops, serve, uvicorn_config
from modelport_kit.logging import configure_logging
from modelport_kit.metrics.parts import (
    bus_families,
    database_families,
    dependency_families,
    loop_families,
    outbox_families,
)
from modelport_kit.metrics.service import ServiceMetrics
from modelport_kit.service_client import service_client
from modelport_kit.service_tokens import TrustedCallers
from modelport_kit.settings import load, read_secret_file
from modelport_models.api.common import Parts
from modelport_models.api.models import models_router
from modelport_models.api.providers import providers_router
from modelport_models.api.virtual_models import virtual_models_router
from modelport_models.api.workspaces import workspaces_router
from modelport_models.discovery.loop import FIRST_LANE, SECOND_LANE, Discovery
from modelport_models.domain import SOURCE
from modelport_models.secrets_client import SecretsClient
from modelport_models.settings import ModelsSettings
from modelport_models.store import Stores

MIGRATIONS = Path(__file__).parent / "migrations"


def build_app(settings: ModelsSettings) -> FastAPI:
    """Make the app. Raises SettingsError for tokens that cannot be read."""
    database = Database(settings.database_url, SOURCE)
    stores = Stores(database, _now)
    trusted = TrustedCallers.from_file(settings.service_trust_file)
    token = read_secret_file(settings.service_token_file, "MODELPORT_SERVICE_TOKEN_FILE")
    bus = Bus(settings.nats_url, name="modelport-models", keeps_stream=False)
    loops = BackgroundLoops()
    outbox = OutboxPublisher(database, bus.publish)
    metrics = ServiceMetrics("models")
    metrics.add(lambda: bus_families(bus))
    metrics.add(lambda: database_families(database))
    metrics.add(lambda: outbox_families(outbox.set_aside))
    metrics.add(lambda: loop_families(loops))
    swept, discovered = loops.succeeds("outbox"), loops.succeeds("discovery")
    consumed, looked = loops.succeeds("secret changes"), loops.succeeds("dependencies")
    secrets_changed = subjects_of_kind("secrets", "secret")
    started: list[bool] = []
    readiness = Readiness({"database": lambda: bool(started)})

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(database.close)
            await bus.start()
            stack.push_async_callback(bus.close)
            await compare_with_stream(database, lambda: bus.newest(SOURCE))
            await stores.workspaces.ensure_built_in()
            secrets = await stack.enter_async_context(service_client(settings.secrets_url, token))
            gateway = await stack.enter_async_context(
                service_client(settings.gateway_url, token, max_connections=FIRST_LANE + SECOND_LANE + 8)
            )
            discovery = Discovery(stores.probes, gateway, settings.discovery_interval_s)
            dependencies = Dependencies(
                {
                    "database": database.answers,
                    "nats": stands(lambda: bus.connected),
                    "secrets": answers(secrets),
                    "gateway": answers(gateway),
                }
            )
            metrics.add(lambda: dependency_families(dependencies.up))
            loops.add("outbox", lambda: outbox.run(swept))
            loops.add("discovery", lambda: discovery.run(discovered))
            loops.add("dependencies", lambda: dependencies.run(looked))
            loops.add(
                "secret changes",
                lambda: bus.consume(MODELS_CONSUMER, secrets_changed, discovery.on_secret_change, on_success=consumed),
            )
            loops.start()
            stack.push_async_callback(loops.stop)
            app.state.parts = Parts(stores, SecretsClient(secrets), discovery, settings.egress_allow)
            started.append(True)
            # what is loaded now stays: walking through it again would be most of each pause of the garbage collector
            gc.collect()
            gc.freeze()
            yield

    app = http.make_app(
        "Modelport models",
        "Workspaces, providers, models and virtual models.",
        lifespan=lifespan,
        readiness=readiness,
        metrics=metrics,
    )
    app.state.readiness = readiness
    app.state.metrics = metrics
    for router in (workspaces_router, providers_router, models_router, virtual_models_router):
        app.include_router(router(trusted))
    app.include_router(http.audit_router(AuditTrail(database), SOURCE, trusted))
    app.include_router(http.sync_router(lambda: stores.sync, trusted))
    app.include_router(http.openapi_router(app, trusted))
    return app


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _settings() -> ModelsSettings:
    settings: ModelsSettings = load(ModelsSettings)
    configure_logging("models", settings.log_level, settings.log_format)
    return settings


async def main() -> None:
    """Serve until told to stop."""
    settings = _settings()
    await prepare(settings.database_url, SOURCE, MIGRATIONS, migrate_now=settings.migrate_at_start)
    app = build_app(settings)

    async def leave() -> None:
        app.state.readiness.draining = True

    with app.state.metrics.served(settings.metrics_socket()):
        await serve(uvicorn_config(app, settings), settings.sockets(), before_exit=leave)


async def migrate_only() -> None:
    """Bring the database to this release's schema and end."""
    settings = _settings()
    await prepare(settings.database_url, SOURCE, MIGRATIONS, migrate_now=True, serving_role=settings.database_role)

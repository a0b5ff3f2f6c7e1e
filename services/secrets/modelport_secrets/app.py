"""Wiring of the secrets service: the one place that makes its parts and starts them."""

import contextlib
import gc
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from fastapi import FastAPI

from modelport_bus.bus import Bus
from modelport_contracts.events import SECRETS_CONSUMER, subjects_of_kind
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
from modelport_kit.service_get import ServiceGet
from modelport_kit.service_tokens import TrustedCallers
from modelport_kit.settings import load, read_secret_file
from modelport_secrets.api.admin import admin_router
from modelport_secrets.api.secrets import Parts, reveal_router, secrets_router
from modelport_secrets.domain import SOURCE
from modelport_secrets.rotation import rotate, wait_until_checked
from modelport_secrets.settings import SecretsSettings
from modelport_secrets.store import SecretStore
from modelport_secrets.workspaces import Workspaces
from modelport_secrets.wrapped_keys import WrappedKeys

MIGRATIONS = Path(__file__).parent / "migrations"


def build_app(settings: SecretsSettings) -> FastAPI:
    """Make the app. Raises SettingsError for keys and tokens that cannot be read."""
    database = Database(settings.database_url, SOURCE)
    keyring = settings.keyring()
    store = SecretStore(database, keyring, _now)
    audit = AuditTrail(database)
    trusted = TrustedCallers.from_file(settings.service_trust_file)
    token = read_secret_file(settings.service_token_file, "MODELPORT_SERVICE_TOKEN_FILE")
    bus = Bus(settings.nats_url, name="modelport-secrets")
    loops = BackgroundLoops()
    outbox = OutboxPublisher(database, bus.publish)
    metrics = ServiceMetrics("secrets")
    metrics.add(lambda: bus_families(bus))
    metrics.add(lambda: database_families(database))
    metrics.add(lambda: outbox_families(outbox.set_aside))
    metrics.add(lambda: loop_families(loops))
    swept, consumed = loops.succeeds("outbox"), loops.succeeds("workspace removals")
    compared, looked = loops.succeeds("workspace comparison"), loops.succeeds("dependencies")
    erased = loops.succeeds("erasing")
    removals = subjects_of_kind("models", "workspace")
    started: list[bool] = []
    readiness = Readiness({"database": lambda: bool(started)})

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(database.close)
            stack.push_async_callback(keyring.close)
            await bus.start()
            stack.push_async_callback(bus.close)
            await compare_with_stream(database, lambda: bus.newest(SOURCE))
            await store.set_built_in(settings.ngc_api_key.get_secret_value() if settings.ngc_api_key else None)
            models = await stack.enter_async_context(service_client(settings.models_url, token))
            asking = await stack.enter_async_context(ServiceGet(settings.models_url, token))
            workspaces = Workspaces(asking, store)
            needed = {"database": database.answers, "nats": stands(lambda: bus.connected), "models": answers(models)}
            if settings.vault_addr is not None:
                needed["vault"] = keyring.answers
            dependencies = Dependencies(needed)
            metrics.add(lambda: dependency_families(dependencies.up))
            loops.add("outbox", lambda: outbox.run(swept))
            loops.add("erasing", lambda: database.erase_for_ever(erased))
            loops.add("dependencies", lambda: dependencies.run(looked))
            loops.add(
                "workspace removals",
                lambda: bus.consume(SECRETS_CONSUMER, removals, workspaces.on_change, on_success=consumed),
            )
            loops.add("workspace comparison", lambda: workspaces.compare_for_ever(compared))
            loops.start()
            stack.push_async_callback(loops.stop)
            app.state.parts = Parts(store, workspaces, audit)
            started.append(True)
            # what is loaded now stays: walking through it again would be most of each pause of the garbage collector
            gc.collect()
            gc.freeze()
            yield

    app = http.make_app(
        "Modelport secrets",
        "Secrets are stored once, encrypted at rest, and never shown again.",
        lifespan=lifespan,
        readiness=readiness,
        metrics=metrics,
    )
    app.state.readiness = readiness
    app.state.metrics = metrics
    app.include_router(secrets_router(trusted))
    app.include_router(reveal_router(trusted))
    app.include_router(admin_router(trusted, lambda: rotate(WrappedKeys(database), keyring)))
    app.include_router(http.audit_router(audit, SOURCE, trusted))
    app.include_router(http.sync_router(lambda: store, trusted))
    app.include_router(http.openapi_router(app, trusted))
    return app


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _settings() -> SecretsSettings:
    settings: SecretsSettings = load(SecretsSettings)
    configure_logging("secrets", settings.log_level, settings.log_format)
    return settings


async def _check_keys(settings: SecretsSettings) -> None:
    """Return once it is known that all stored secrets can be opened. Raises SettingsError where they cannot."""
    database = Database(settings.database_url, SOURCE)
    keyring = settings.keyring()
    try:
        await wait_until_checked(WrappedKeys(database), keyring)
    finally:
        await keyring.close()
        await database.close()


async def main() -> None:
    """Serve until told to stop."""
    settings = _settings()
    await prepare(settings.database_url, SOURCE, MIGRATIONS, migrate_now=settings.migrate_at_start)
    await _check_keys(settings)
    app = build_app(settings)

    async def leave() -> None:
        app.state.readiness.draining = True

    with app.state.metrics.served(settings.metrics_socket()):
        await serve(uvicorn_config(app, settings), settings.sockets(), before_exit=leave)


async def migrate_only() -> None:
    """Bring the database to this release's schema and end."""
    settings = _settings()
    await prepare(settings.database_url, SOURCE, MIGRATIONS, migrate_now=True, serving_role=settings.database_role)

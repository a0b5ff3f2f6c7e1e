"""What describes the platform as a whole: /status, /cluster-info, /openapi.json."""

import asyncio
import importlib.metadata
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse

from modelport_gateway.api.inference_paths import inference_description
from modelport_gateway.front_door.docs import docs_router
from modelport_gateway.front_door.forward import Service
from modelport_kit.errors import AwayError
from modelport_kit.http import describe
from modelport_routing import GatewayWatch

DESCRIPTION = (
    "Modelport: a model registry and inference gateway. Store a provider's key once, register the provider once, "
    "reach its models through one address."
)


def platform_version() -> str:
    """Return the installed version."""
    return importlib.metadata.version("modelport")


def merge_descriptions(own: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any]:
    """Merge OpenAPI descriptions into one. Components of the same name are the same: all come from one library."""
    merged: dict[str, Any] = {**own, "paths": {}, "components": {}}
    merged["info"] = {"title": "Modelport", "description": DESCRIPTION, "version": platform_version()}
    for description in (own, *others):
        for path, item in description.get("paths", {}).items():
            merged["paths"].setdefault(path, item)
        for section, members in description.get("components", {}).items():
            merged["components"].setdefault(section, {}).update(members)
    merged["paths"] = dict(sorted(merged["paths"].items()))
    merged["components"] = {name: dict(sorted(items.items())) for name, items in sorted(merged["components"].items())}
    return merged


class Platform:
    """Looks at the parts around this gateway.

    `local` says of this process' own connections whether they stand; `metrics_urls` where processes show metrics.
    """

    def __init__(
        self,
        clients: Mapping[Service, httpx.AsyncClient],
        local: Mapping[str, Callable[[], bool]],
        watch: GatewayWatch,
        metrics_urls: Mapping[str, str],
        note: Callable[[], str] = lambda: "",
    ) -> None:
        """`note` says what is out of the ordinary in this process itself, empty where nothing is."""
        self._clients = clients
        self._local = local
        self._watch = watch
        self._metrics_urls = dict(metrics_urls)
        self._note = note

    async def status(self, waiting_for: list[str]) -> dict[str, Any]:
        """Build the body of /status."""
        names = list(self._clients)
        messages = await asyncio.gather(*(self._ask(name) for name in names))
        found = dict(zip((str(name) for name in names), messages, strict=True))
        found |= {name: "" if stands() else "not connected" for name, stands in self._local.items()}
        found["gateway"] = f"waiting for {', '.join(waiting_for)}" if waiting_for else self._note()
        not_ready = [{"name": name, "message": message} for name, message in sorted(found.items()) if message]
        return {
            "status": "degraded" if not_ready else "ready",
            "services": {
                "ready": sorted(name for name, message in found.items() if not message),
                "not_ready": not_ready,
            },
            "gateways": self._gateways(),
            "metrics": self._metrics_urls,
        }

    def _gateways(self) -> list[dict[str, Any]]:
        """Say of every gateway that has not left whether it is live, and what it acts on; this one first."""
        watch = self._watch
        known = [(one, True) for one in watch.fleet.live]
        back = {one.gateway_id for one in watch.fleet.live}  # restarted, perhaps after a crash
        known += [(one, False) for one in watch.fleet.gone if one.gateway_id not in back]
        known.sort(key=lambda pair: (pair[0].boot_id != watch.own_boot_id, not pair[1], pair[0].gateway_id))
        listed = []
        for record, is_live in known:
            follows = record.epoch is not None and record.epoch == watch.epoch
            applied = record.head if follows else None
            lag = max(0, watch.head - record.head) if follows else None
            listed.append({"id": record.gateway_id, "live": is_live, "applied": applied, "lag": lag})
        return listed

    async def _ask(self, service: Service) -> str:
        try:
            reply = await self._clients[service].get("/health/ready", timeout=2.0)
        except httpx.HTTPError as error:
            return f"cannot be reached: {type(error).__name__}"
        return "" if reply.status_code == 200 else f"answers {reply.status_code}"

    async def description(self, app: FastAPI) -> dict[str, Any]:
        """Build the OpenAPI description of all services together. Raises AwayError."""
        others = []
        for service, client in self._clients.items():
            try:
                reply = await client.get("/openapi.json")
                reply.raise_for_status()
                others.append(reply.json())
            except (httpx.HTTPError, ValueError) as error:
                raise AwayError(f"the {service} service, which describes its part, cannot be reached") from error
        return merge_descriptions(describe(app), [*others, inference_description()])


def platform_router() -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["platform"])

    def platform(request: Request) -> Platform:
        found = request.app.state.platform
        assert isinstance(found, Platform)
        return found

    @router.get("/status", summary="What of the platform is up")
    async def status(request: Request) -> dict[str, Any]:
        return await platform(request).status(request.app.state.readiness.waiting_for())

    @router.get("/cluster-info", summary="Which version runs here")
    async def cluster_info() -> dict[str, str]:
        return {"platform_version": platform_version(), "revision": platform_version()}

    @router.get("/apis/auth/discovery", summary="How to sign in")
    async def auth_discovery() -> dict[str, Any]:
        return {"auth_enabled": False, "oidc": None}

    @router.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> JSONResponse:
        return JSONResponse(await platform(request).description(request.app))

    router.include_router(docs_router())
    return router

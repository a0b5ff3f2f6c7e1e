"""`GET /health/edge`: what a load balancer asks, and nobody else (docs/wire.md, 3.7)."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from modelport_kit.health import Readiness
from modelport_routing import Lease


def edge_router() -> APIRouter:
    """Make the route. It says what /health/ready says, but no while this process is cut off from Redis."""
    router = APIRouter(prefix="/health", tags=["health"])

    @router.get("/edge", summary="Should this gateway get requests", response_model=None)
    async def health_edge(request: Request) -> dict[str, str] | JSONResponse:
        readiness: Readiness = request.app.state.readiness
        lease: Lease = request.app.state.lease
        waiting = readiness.waiting_for()
        if not waiting and not await lease.renew():
            waiting = ["redis"]
        if not waiting:
            return {"status": "ready"}
        return JSONResponse({"detail": {"status": "not_ready", "waiting_for": waiting}}, status_code=503)

    # probes of load balancers ask with HEAD
    router.add_api_route("/edge", health_edge, methods=["HEAD"], include_in_schema=False, response_model=None)
    return router

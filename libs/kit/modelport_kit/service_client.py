"""HTTP between services: the caller's token on every request, short timeouts, the request id passed on."""

import httpx
import structlog

from modelport_contracts.errors import SERVICE_TOKEN_HEADER


def service_client(
    base_url: str, token: str, *, timeout_s: float = 5.0, max_connections: int = 100
) -> httpx.AsyncClient:
    """Make a client for another service. Proxy settings of the environment do not apply between services."""
    return httpx.AsyncClient(
        base_url=base_url,
        headers={SERVICE_TOKEN_HEADER: token, "user-agent": "modelport"},
        timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 2.0)),
        limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=50, keepalive_expiry=30),
        follow_redirects=False,
        trust_env=False,
        event_hooks={"request": [_pass_request_id]},
    )


async def _pass_request_id(request: httpx.Request) -> None:
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    if request_id and "x-request-id" not in request.headers:
        request.headers["x-request-id"] = str(request_id)

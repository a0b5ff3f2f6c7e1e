"""Passing a user's request on to the service that owns the path.

The request goes out with the front door's token: it lets the service see that Modelport asks on behalf of a user,
and cannot reveal a secret. What a client sent under Modelport's own header names is removed.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Annotated, Literal

import httpx
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from modelport_contracts.errors import CLIENT_ADDRESS_HEADER, REQUEST_ID_HEADER
from modelport_contracts.headers import CREDENTIALS, HOP_BY_HOP
from modelport_kit.errors import AwayError, BadRequestError

Service = Literal["models", "secrets"]

ROUTES: tuple[tuple[str, Service], ...] = (
    ("/apis/entities/{rest:path}", "models"),
    ("/apis/models/{rest:path}", "models"),
    ("/apis/inference-gateway/v2/workspaces/{workspace}/virtual-models", "models"),
    ("/apis/inference-gateway/v2/workspaces/{workspace}/virtual-models/{name}", "models"),
    ("/apis/secrets/{rest:path}", "secrets"),
)
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]

_NOT_FORWARDED = (
    HOP_BY_HOP | CREDENTIALS | {"host", "content-length", "accept-encoding", "x-request-id", "forwarded", "x-real-ip"}
)
_NOT_RETURNED = HOP_BY_HOP | {"content-length", "date", "server", REQUEST_ID_HEADER, "x-request-id"}
_OURS = ("x-modelport-", "x-forwarded-", "x-nmp-")


def forwarded_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what of a client's headers a service gets to see."""
    headers = list(headers)
    named = {
        part.strip().lower() for name, value in headers if name.lower() == "connection" for part in value.split(",")
    }
    return [
        (name, value)
        for name, value in headers
        if name.lower() not in _NOT_FORWARDED | named and not name.lower().startswith(_OURS)
    ]


def has_dot_segments(path: str) -> bool:
    """Say whether a decoded path holds `.` or `..`: a client on the way might resolve what was matched as written."""
    segments = path.replace("\\", "/").split("/")
    return any(segment.partition(";")[0] in {".", ".."} for segment in segments)


def returned_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what of a service's headers the client gets to see."""
    return [(name, value) for name, value in headers if name.lower() not in _NOT_RETURNED]


async def _clients(request: Request) -> Mapping[Service, httpx.AsyncClient]:
    clients: Mapping[Service, httpx.AsyncClient] = request.app.state.front_door
    return clients


def front_door_router() -> APIRouter:
    """Make the routes that pass requests on. Their descriptions are the services' own (platform.py)."""
    router = APIRouter(include_in_schema=False)
    for path, service in ROUTES:
        router.add_api_route(path, _forwarder(service), methods=METHODS, name=f"to {service}: {path}")
    return router


def _whom_it_serves(request: Request) -> list[tuple[str, str]]:
    """Return the client's address as a header, for the audit trail."""
    return [] if request.client is None else [(CLIENT_ADDRESS_HEADER, request.client.host)]


def _forwarder(service: Service) -> Callable[..., Awaitable[Response]]:
    async def forward(
        request: Request, clients: Annotated[Mapping[Service, httpx.AsyncClient], Depends(_clients)]
    ) -> Response:
        if has_dot_segments(request.scope["path"]):
            raise BadRequestError("the path holds dot segments (. or ..); write it without them", "dot_segments")
        client = clients[service]
        query = request.scope["query_string"]
        target = request.scope["raw_path"] + (b"?" + query if query else b"")
        outgoing = client.build_request(
            request.method,
            client.base_url.copy_with(raw_path=target),
            headers=[*forwarded_headers(request.headers.items()), *_whom_it_serves(request)],
            content=await request.body(),
        )
        try:
            reply = await client.send(outgoing)
        except httpx.HTTPError as error:
            raise AwayError(
                f"the {service} service cannot be reached; inference goes on, try this again shortly",
                f"{service}_away",
            ) from error
        response = Response(reply.content, status_code=reply.status_code)
        for name, value in returned_headers(reply.headers.multi_items()):
            response.headers.append(name, value)
        return response

    return forward

"""The HTTP face every service has: request ids, service tokens, error bodies, health, and the source interface.

Errors become replies here and nowhere else; nothing that a client sent is echoed in them.
"""

import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Protocol

import structlog
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelport_contracts.errors import (
    CLIENT_ADDRESS_HEADER,
    ERROR_ORIGIN_HEADER,
    REQUEST_ID_HEADER,
    REQUEST_ID_PATTERN,
    REVISION_HEADER,
    SERVICE_TOKEN_HEADER,
    Error,
    error_body,
)
from modelport_contracts.pages import DEFAULT_PAGE_SIZE, Page, Pagination
from modelport_contracts.resources.audit import AuditEvent
from modelport_contracts.sync import CHANGES_PATH, SEEN_PATH, SNAPSHOT_PATH, ChangesPage, Position, SnapshotPage
from modelport_kit import service_tokens
from modelport_kit.errors import ApiError
from modelport_kit.filters import FilterError, parse_query
from modelport_kit.health import Readiness
from modelport_kit.lists import InvalidFilterError, PageRequest
from modelport_kit.metrics.http_requests import HttpRequests
from modelport_kit.metrics.service import ServiceMetrics
from modelport_kit.origin import Origin, set_origin
from modelport_kit.service_tokens import Caller, TrustedCallers

logger = structlog.get_logger(__name__)

_CLIENT_LEFT = 499
"""Only in log and metrics, as in the gateway's access log."""
MAX_BODY_BYTES = 1024 * 1024
"""Bodies of the control interface; inference bodies have limits of their own."""

_REQUEST_ID = re.compile(REQUEST_ID_PATTERN)
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def make_app(
    title: str, description: str, *, lifespan: Lifespan, readiness: Readiness, metrics: ServiceMetrics
) -> FastAPI:
    """Make a service's app with everything all of them share."""
    # a redirect to the path without its slash would name this service's own address to the outside
    app = FastAPI(
        title=title,
        description=description,
        version="2",
        openapi_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
    )
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_middleware(RequestEdge, requests=metrics.http)
    app.include_router(_health_router(readiness))
    return app


def operation_id(route: APIRoute) -> str:
    """Name an operation in OpenAPI descriptions as its function: generated clients name their methods so."""
    return route.name


def _reply(status: int, code: str, message: str, detail: Any = None) -> JSONResponse:
    return JSONResponse(
        error_body(status, code, message, detail), status_code=status, headers={ERROR_ORIGIN_HEADER: "gateway"}
    )


async def _on_api_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    response = _reply(error.status, error.code, error.message, error.detail)
    response.headers.update(error.headers)
    return response


async def _on_validation_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # pydantic's errors carry the input; it may be a secret
    problems = [{"type": item["type"], "loc": list(item["loc"]), "msg": _message(item)} for item in error.errors()]
    summary = "; ".join(f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in problems[:5])
    return _reply(422, "invalid_input", summary, problems)


def _message(item: dict[str, Any]) -> str:
    text = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "model_attributes_type" or (tuple(item["loc"]) == ("body",) and item["type"] == "missing"):
        return "a JSON object is expected, sent with content-type: application/json"
    if item["type"] == "json_invalid":
        reason = item.get("ctx", {}).get("error", "")
        return f"the body is not valid JSON: {reason}" if reason else "the body is not valid JSON"
    return text


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        response = _reply(404, "no_such_path", "there is nothing at this path; see /docs for what there is")
    elif error.status_code == 405:
        response = _reply(405, "method_not_allowed", f"{request.method} is not possible at this path")
    elif error.status_code == 413:
        response = _reply(413, "body_too_large", f"a request's body is at most {MAX_BODY_BYTES} bytes")
    elif error.status_code == 400:
        response = _reply(400, "unreadable_body", "the body cannot be read as JSON in UTF-8")
    else:
        response = _reply(error.status_code, "http_error", str(error.detail))
    response.headers.update(error.headers or {})
    return response


def _on_bug(error: Exception) -> JSONResponse:
    logger.error("unhandled error", exc_info=error)
    return _reply(500, "internal_error", "an error inside Modelport; the log has it under this request's id")


def request_id_from(raw: str | None) -> str:
    """Take a client's request id where it is harmless in a header and a log, else make one."""
    return raw if raw and _REQUEST_ID.fullmatch(raw) else uuid.uuid4().hex


class RequestEdge:
    """The outermost layer: request id, body limit, one log line, one count.

    Pure ASGI, so that disconnects stay visible.
    """

    def __init__(self, app: ASGIApp, requests: HttpRequests) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        request_id = request_id_from(headers.get(b"x-request-id"))
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        status = 0
        seen = 0

        async def limited_receive() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MAX_BODY_BYTES:
                # FastAPI turns anything but its own exception into a 400 while it reads a body
                raise HTTPException(413)
            return message

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                extra = [(REQUEST_ID_HEADER.encode(), request_id.encode())]
                if status >= 400:
                    extra.append((b"x-request-id", request_id.encode()))
                known = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in extra if pair[0] not in known)]
            await send(message)

        try:
            if "\0" in scope["path"] or b"%00" in scope["query_string"]:
                refusal = _reply(400, "nul_character", "a path or query must not hold a NUL character")
                await refusal(scope, receive, send_with_id)
            else:
                await self._app(scope, limited_receive, send_with_id)
        except ClientDisconnect:
            status = status or _CLIENT_LEFT
        except Exception as error:
            # caught here, not by Starlette's outermost layer, so that reply and log carry the request's id
            if status:
                raise
            await _on_bug(error)(scope, receive, send_with_id)
        finally:
            took_s = time.perf_counter() - started
            self._requests.finished(scope["method"], scope.get("route"), status, took_s)
            if not scope["path"].startswith("/health/"):
                logger.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    ms=round(took_s * 1000, 2),
                )
            structlog.contextvars.unbind_contextvars("request_id")


def require(trusted: TrustedCallers, *scopes: service_tokens.Scope) -> Callable[[Request], Awaitable[None]]:
    """Make the dependency that lets in only callers whose token has one of `scopes`."""

    async def check(request: Request) -> None:
        caller = trusted.identify(request.headers.get(SERVICE_TOKEN_HEADER))
        set_origin(_origin(request, caller))
        if caller is None:
            raise ApiError(401, "service_token_missing", "this service answers Modelport's own parts only")
        if not caller.scopes.intersection(scopes):
            raise ApiError(403, "not_allowed", "this is answered to parts of Modelport only, not to users")

    return check


def _origin(request: Request, caller: Caller | None) -> Origin:
    """Say where a request comes from; who is not one of Modelport's own parts cannot speak for another."""
    peer = request.client.host if request.client is not None else None
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    if caller is None:
        return Origin(None, peer, request_id)
    return Origin(caller.caller, request.headers.get(CLIENT_ADDRESS_HEADER, peer), request_id)


def _health_router(readiness: Readiness) -> APIRouter:
    router = APIRouter(prefix="/health", tags=["health"])

    @router.get("/live", summary="Is the process alive")
    async def health_live() -> dict[str, str]:
        return {"status": "live"}

    # probes of load balancers ask with HEAD
    router.add_api_route("/live", health_live, methods=["HEAD"], include_in_schema=False)

    @router.get("/ready", summary="Can the process serve", response_model=None)
    async def health_ready() -> dict[str, str] | JSONResponse:
        waiting = readiness.waiting_for()
        if not waiting:
            return {"status": "ready"}
        return JSONResponse({"detail": {"status": "not_ready", "waiting_for": waiting}}, status_code=503)

    router.add_api_route("/ready", health_ready, methods=["HEAD"], include_in_schema=False, response_model=None)
    return router


class SyncSource(Protocol):
    """What a store offers to gateways that repair their table."""

    async def snapshot(self, cursor: str | None, limit: int) -> SnapshotPage:
        """Return one page of everything. Raises ValueError for a cursor it did not make."""

    async def changes(self, after: int) -> ChangesPage:
        """Return what changed after a revision."""

    async def seen(self, position: Position) -> Position:
        """Learn how far somebody has seen this source; return where it is."""


def sync_router(source: Callable[[], SyncSource], trusted: TrustedCallers) -> APIRouter:
    """Make the internal interface of modelport_contracts.sync."""
    router = APIRouter(dependencies=[Depends(require(trusted, "sync"))], include_in_schema=False)

    @router.get(SNAPSHOT_PATH)
    async def snapshot(cursor: str | None = None, limit: Annotated[int, Query(ge=1, le=5000)] = 1000) -> SnapshotPage:
        try:
            return await source().snapshot(cursor, limit)
        except ValueError:
            raise ApiError(422, "invalid_cursor", "this cursor was not made by this service") from None

    @router.get(CHANGES_PATH)
    async def changes(after: Annotated[int, Query(ge=0)]) -> ChangesPage:
        return await source().changes(after)

    @router.post(SEEN_PATH)
    async def seen(position: Position) -> Position:
        return await source().seen(position)

    return router


class AuditSource(Protocol):
    """What shows a service's audit trail."""

    async def list(self, request: PageRequest) -> tuple[list[AuditEvent], Pagination]:
        """Return a page of it."""


def audit_router(source: AuditSource, service: str, trusted: TrustedCallers) -> APIRouter:
    """Make the route that shows a service's part of the audit trail."""
    router = APIRouter(tags=["audit"], dependencies=[Depends(require(trusted, "api"))])

    @router.get(
        f"/apis/{service}/v2/audit",
        name=f"list_{service}_audit",
        summary=f"List what was done in the {service} service, of all workspaces",
        response_model=Page[AuditEvent],
    )
    async def list_audit(request: Request, wanted: Annotated[PageRequest, Depends(page_request())]) -> JSONResponse:
        items, position = await source.list(wanted)
        return page_reply(request, wanted, items, position)

    return router


def openapi_router(app: FastAPI, trusted: TrustedCallers) -> APIRouter:
    """Serve the service's own OpenAPI description to the front door, which shows all of them as one."""
    router = APIRouter(dependencies=[Depends(require(trusted, "api", "sync"))], include_in_schema=False)

    @router.get("/openapi.json")
    async def openapi() -> JSONResponse:
        return JSONResponse(describe(app))

    return router


def describe(app: FastAPI) -> dict[str, Any]:
    """Build an app's OpenAPI description, with the one error body in place of FastAPI's."""
    whole = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = whole.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)
    schema = Error.model_json_schema(ref_template="#/components/schemas/{model}")
    components.update(schema.pop("$defs"))
    components["Error"] = schema
    answer = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    for item in whole["paths"].values():
        for operation in item.values():
            if "422" in operation["responses"]:
                operation["responses"]["422"] = {"description": "A member of the input breaks a rule.", **answer}
            operation["responses"]["default"] = {"description": "An error.", **answer}
    return whole


def page_request(default_sort: str = "-created_at") -> Callable[..., Awaitable[PageRequest]]:
    """Make the dependency that reads page, page_size, sort and filter from the query."""

    async def read(
        request: Request,
        page: Annotated[int, Query(ge=1)] = 1,
        page_size: Annotated[int, Query(ge=1, le=1000)] = DEFAULT_PAGE_SIZE,
        sort: Annotated[str, Query(description="a field; `-` first for descending", max_length=64)] = default_sort,
        filter: Annotated[  # noqa: A002 (the name on the wire)
            str | None, Query(description='brackets `filter[field][$op]=x`, JSON, or text `name~"x"`')
        ] = None,
    ) -> PageRequest:
        del filter  # read below in all its spellings
        try:
            tree = parse_query(request.query_params.multi_items())
        except FilterError as error:
            raise InvalidFilterError(str(error)) from None
        return PageRequest(page=page, page_size=page_size, sort=sort, filter=tree)

    return read


def filter_echo(request: Request) -> dict[str, Any] | None:
    """Return the filter as it was sent, for the list envelope."""
    sent = {name: value for name, value in request.query_params.multi_items() if name.startswith("filter")}
    if not sent:
        return None
    if list(sent) == ["filter"]:
        try:
            tree = json.loads(sent["filter"])
        except ValueError:
            return {"text": sent["filter"]}
        return tree if isinstance(tree, dict) else None
    return {name[len("filter") :].strip("[]").replace("][", "."): value for name, value in sent.items()}


def page_reply(request: Request, wanted: PageRequest, items: Sequence[BaseModel], position: Pagination) -> JSONResponse:
    """Build the list envelope. Items in lists omit what is null; single objects keep it (docs/wire.md, 3.3)."""
    return JSONResponse(
        {
            "data": [item.model_dump(mode="json", exclude_none=True) for item in items],
            "pagination": position.model_dump(),
            "sort": wanted.sort,
            "filter": filter_echo(request),
        }
    )


def set_revision(response: Response, source: str, revision: int) -> None:
    """Tell the client which revision its write made; opaque to it (docs/propagation.md, rule 3)."""
    response.headers[REVISION_HEADER] = f"{source}.{revision}"

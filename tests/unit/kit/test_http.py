"""The HTTP face that every service has, on an app of a few routes."""

import contextlib
import json
from collections.abc import AsyncIterator

import httpx
import pytest
import structlog
from fastapi import FastAPI, Request

from modelport_contracts.json_values import RequestBody
from modelport_kit.errors import AwayError, BadRequestError, ConflictError, ForbiddenError, NotFoundError
from modelport_kit.health import Readiness
from modelport_kit.http import MAX_BODY_BYTES, make_app
from modelport_kit.metrics.service import ServiceMetrics


class Body(RequestBody):
    name: str
    size: int = 0


@contextlib.asynccontextmanager
async def nothing(_: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture
def app() -> FastAPI:
    up = [False]
    app = make_app(
        "Test",
        "An app of a few routes.",
        lifespan=nothing,
        readiness=Readiness({"it": lambda: up[0]}),
        metrics=ServiceMetrics("test"),
    )

    @app.post("/things")
    async def make(body: Body) -> Body:
        up[0] = True
        return body

    @app.get("/fail/{how}")
    async def fail(how: str) -> None:
        errors = {
            "bad": BadRequestError("no"),
            "forbidden": ForbiddenError("no"),
            "missing": NotFoundError("thing", "a"),
            "conflict": ConflictError("no"),
            "away": AwayError("no"),
        }
        raise errors.get(how) or RuntimeError(f"a bug with hunter2 in {how}")

    @app.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def check_error(reply: httpx.Response, status: int, code: str) -> str:
    """Check an error's shape; returns its message."""
    assert reply.status_code == status
    assert reply.headers["x-modelport-error-origin"] == "gateway"
    assert reply.headers["x-request-id"] == reply.headers["x-modelport-request-id"]
    body = reply.json()
    assert set(body) == {"type", "error", "detail"}
    assert body["type"] == "error"
    assert set(body["error"]) == {"type", "message", "code", "param"}
    assert body["error"]["code"] == code
    message = body["error"]["message"]
    assert isinstance(message, str)
    assert message
    return message


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ("bad", 400, "bad_request"),
        ("forbidden", 403, "forbidden"),
        ("missing", 404, "not_found"),
        ("conflict", 409, "conflict"),
        ("away", 503, "dependency_away"),
    ],
)
async def test_errors_for_users(client: httpx.AsyncClient, how: str, status: int, code: str) -> None:
    reply = await client.get(f"/fail/{how}")
    message = check_error(reply, status, code)
    assert reply.json()["detail"] == message
    assert reply.headers.get("x-should-retry") == ("false" if status == 409 else None)
    assert ("retry-after" in reply.headers) == (status == 503)


async def test_a_bug_is_answered_and_logged_under_the_requests_id(client: httpx.AsyncClient) -> None:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        reply = await client.get("/fail/oddly", headers={"x-request-id": "id-7"})
    assert "hunter2" not in check_error(reply, 500, "internal_error")
    assert reply.headers["x-modelport-request-id"] == "id-7"
    (bug,) = (entry for entry in logs if entry["event"] == "unhandled error")
    (line,) = (entry for entry in logs if entry["event"] == "request")
    assert bug["request_id"] == line["request_id"] == "id-7"
    assert line["status"] == 500


@pytest.mark.parametrize("path", ["/raw", "/things"])
async def test_a_client_that_leaves_is_no_bug(app: FastAPI, path: str) -> None:
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": []}
    coming: list[dict[str, object]] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, object]:
        return coming.pop(0)

    async def send(_: object) -> None:
        pass

    with structlog.testing.capture_logs() as logs:
        await app(scope, receive, send)
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("request", "info")
    assert 400 <= line["status"] < 500


async def test_request_ids_do_not_stick(client: httpx.AsyncClient) -> None:
    first = await client.get("/nothing", headers={"x-request-id": "mine"})
    second = await client.get("/nothing", headers={"x-request-id": "not harmless\u00e4".encode().hex() + " x"})
    assert first.headers["x-modelport-request-id"] == "mine"
    assert second.headers["x-modelport-request-id"] not in {"mine", ""}
    assert "x-request-id" not in (await client.post("/things", json={"name": "a"})).headers


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        (b"{", 422, "invalid_input", "not valid JSON"),
        (b"", 422, "invalid_input", "a JSON object is expected"),
        (b"[1]", 422, "invalid_input", "a JSON object is expected"),
        (b'"x"', 422, "invalid_input", "a JSON object is expected"),
        (b"null", 422, "invalid_input", "a JSON object is expected"),
        (b"{}", 422, "invalid_input", "body.name: Field required"),
        (b'{"name":5}', 422, "invalid_input", "body.name: "),
        (b'{"name":"a","size":"hunter2"}', 422, "invalid_input", "body.size: "),
        (b'{"name":"a","other":{"a":NaN}}', 422, "invalid_input", "other.a: NaN"),
        (b'{"name":"hunter2\\u0000"}', 422, "invalid_input", "name: must not hold a NUL"),
        (b'{"name":"\xff"}', 400, "unreadable_body", "JSON in UTF-8"),
        (b"[" * 100_000, 400, "unreadable_body", "JSON"),
        (b'{"name":"a","size":' + b"9" * 5000 + b"}", 400, "unreadable_body", "JSON"),
    ],
)
async def test_bodies_that_cannot_be_used(
    client: httpx.AsyncClient, body: bytes, status: int, code: str, words: str
) -> None:
    reply = await client.post("/things", content=body, headers={"content-type": "application/json"})
    assert words in check_error(reply, status, code)
    assert "hunter2" not in reply.text
    if status == 422:
        assert all(set(item) == {"type", "loc", "msg"} for item in reply.json()["detail"])
        assert reply.json()["detail"]


async def test_the_content_type_is_named(client: httpx.AsyncClient) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    reply = await client.post("/things", content=b'{"name":"a"}', headers=form)
    assert "content-type: application/json" in check_error(reply, 422, "invalid_input")


async def test_large_bodies_are_refused_however_they_come(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json"}
    largest = json.dumps({"name": "x" * (MAX_BODY_BYTES - len('{"name": ""}'))}).encode()
    assert len(largest) == MAX_BODY_BYTES
    assert (await client.post("/things", content=largest, headers=headers)).status_code == 200

    async def in_parts() -> AsyncIterator[bytes]:
        for start in range(0, len(largest) + 1, 65536):
            yield (largest + b" ")[start : start + 65536]

    for content in (largest + b" ", in_parts()):
        reply = await client.post("/things", content=content, headers=headers)
        assert str(MAX_BODY_BYTES) in check_error(reply, 413, "body_too_large")


async def test_paths_and_methods(client: httpx.AsyncClient) -> None:
    check_error(await client.get("/nothing"), 404, "no_such_path")
    check_error(await client.post("/things/", json={"name": "a"}), 404, "no_such_path")
    reply = await client.put("/things", json={"name": "a"})
    assert "PUT" in check_error(reply, 405, "method_not_allowed")
    assert reply.headers["allow"] == "POST"
    check_error(await client.get("/fail/%00"), 400, "nul_character")
    check_error(await client.get("/fail/bad?a=%00"), 400, "nul_character")


async def test_health(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).json() == {"status": "live"}
    reply = await client.get("/health/ready")
    assert reply.status_code == 503
    assert reply.json() == {"detail": {"status": "not_ready", "waiting_for": ["it"]}}
    await client.post("/things", json={"name": "a"})
    reply = await client.get("/health/ready")
    assert (reply.status_code, reply.json()) == (200, {"status": "ready"})

"""Routes that FastAPI describes and does not solve."""

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from pydantic import BaseModel

from modelport_kit.errors import ApiError
from modelport_kit.health import Readiness
from modelport_kit.http import make_app
from modelport_kit.lean_route import LeanRoute
from modelport_kit.metrics.service import ServiceMetrics


class Thing(BaseModel):
    """What is answered."""

    name: str


async def refuse_mallory(request: Request) -> None:
    if request.headers.get("x-caller") == "mallory":
        raise ApiError(403, "not_allowed", "not you")


async def show_thing(request: Request, name: str) -> Response:
    return Response(f'{{"name":"{name}"}}', media_type="application/json")


@contextlib.asynccontextmanager
async def nothing_starts(_: FastAPI) -> AsyncIterator[None]:
    yield


def make(route_class: type[LeanRoute] | None) -> FastAPI:
    app = FastAPI()
    router = APIRouter(prefix="/things", dependencies=[Depends(refuse_mallory)])
    router.add_api_route(
        "/{name}", show_thing, response_model=Thing, summary="Show it", route_class_override=route_class
    )
    app.include_router(router)
    return app


def test_it_is_described_like_any_other() -> None:
    assert make(LeanRoute).openapi() == make(None).openapi()
    assert "/things/{name}" in make(LeanRoute).openapi()["paths"]


async def test_dependencies_come_before_it() -> None:
    app = make_app("t", "t", lifespan=nothing_starts, readiness=Readiness({}), metrics=ServiceMetrics("t"))
    app.include_router(make(LeanRoute).router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
        reply = await client.get("/things/a%20b")
        assert (reply.status_code, reply.json()) == (200, {"name": "a b"})
        reply = await client.get("/things/a", headers={"x-caller": "mallory"})
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "not_allowed")


async def takes_more(request: Request, name: str) -> None:
    """A dependency that FastAPI would have to solve."""


def takes_a_thread(request: Request) -> None:
    """A dependency that FastAPI would call in a thread."""


@pytest.mark.parametrize("dependency", [takes_more, takes_a_thread])
def test_what_it_would_pass_over_is_refused(dependency: object) -> None:
    router = APIRouter(route_class=LeanRoute, dependencies=[Depends(dependency)])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="/things"):
        router.get("/things/{name}")(show_thing)


def test_so_is_a_function_that_takes_more() -> None:
    router = APIRouter(route_class=LeanRoute)

    async def with_query(request: Request, name: str, page: int = 1) -> Response:
        raise AssertionError

    async def with_dependency(request: Request, who: Annotated[None, Depends(refuse_mallory)]) -> Response:
        raise AssertionError

    for function in (with_query, with_dependency):
        with pytest.raises(TypeError):
            router.get("/{name}")(function)

"""A route for what is asked at the one moment when time counts: FastAPI describes it and does not solve it."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute


class LeanRoute(APIRoute):
    """A route whose function is called with the request and the parts of its path, as text, and makes its own reply.

    It is described like any other. Its dependencies, and its router's, are called in their order before the function;
    each takes the request alone, as checks of the caller do, and what it returns is not used. TypeError at start where
    one takes more, or where the function does: nothing else is read or validated here.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        checks = [_check(self.path, one) for one in self.dependant.dependencies]
        if set(inspect.signature(self.endpoint).parameters) != {"request", *self.param_convertors}:
            raise TypeError(f"{self.path}: the function of a lean route takes the request and parts of the path")
        endpoint = self.endpoint

        async def handle(request: Request) -> Response:
            for check in checks:
                await check(request)
            response: Response = await endpoint(request, **request.path_params)
            return response

        return handle


def _check(path: str, dependency: Dependant) -> Callable[[Request], Awaitable[None]]:
    call = dependency.call
    takes = list(inspect.signature(call).parameters) if call is not None else []
    if call is None or takes != [dependency.request_param_name] or not inspect.iscoroutinefunction(call):
        raise TypeError(f"{path}: a lean route's dependency is a coroutine function that takes the request alone")
    return call

"""A route for what is asked at the one moment when time counts: FastAPI describes it and does not solve it."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute


class LeanRoute(APIRoute):
    """A route whose function is called with the request and the parts of its path, and makes its own reply.

    It is described as any other. Nothing is validated or injected, so the function checks the caller itself, before
    all else; dependencies would be passed over, and a route that has some is refused: TypeError.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        if self.dependant.dependencies:
            raise TypeError(f"{self.path}: a lean route has no dependencies")
        endpoint = self.endpoint

        async def handle(request: Request) -> Response:
            response: Response = await endpoint(request, **request.path_params)
            return response

        return handle

"""/docs: the interface to look at and try out, with nothing fetched from elsewhere."""

from collections.abc import Awaitable, Callable
from importlib.resources import files

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse

_SCRIPT, _STYLE, _ICON = "swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"


def docs_router() -> APIRouter:
    """Make the routes of the page and of the files it loads."""
    router = APIRouter(prefix="/docs", include_in_schema=False)

    @router.get("")
    async def page() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Modelport",
            swagger_js_url=f"/docs/{_SCRIPT}",
            swagger_css_url=f"/docs/{_STYLE}",
            swagger_favicon_url=f"/docs/{_ICON}",
            # else the page would have a public server look at this platform's description
            swagger_ui_parameters={"validatorUrl": None},
        )

    for name in (_SCRIPT, _STYLE, _ICON):
        router.add_api_route(f"/{name}", _sender(name), response_model=None)
    return router


def _sender(name: str) -> Callable[[], Awaitable[FileResponse]]:
    path = str(files("fastapi_swagger.resources") / name)

    async def send() -> FileResponse:
        return FileResponse(path)

    return send

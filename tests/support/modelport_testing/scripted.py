"""An HTTP server that answers from a script and records what it was asked, for clients' tests."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

WAIT_S = 10.0


@dataclass
class Reply:
    """One answer. `json` or `body` is sent whole; `parts` one by one, chunked.

    An Event among the parts is waited for before what follows it is sent. `cut` ends the connection before the end.
    """

    status: int = 200
    json: Any = None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    parts: Sequence[bytes | threading.Event] | None = None
    cut: bool = False


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    """Lower-case names."""
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.target.partition("?")[2])

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Script:
    """What a server answers: the replies of a route in order, the last one again and again."""

    def __init__(self) -> None:
        self.requests: list[Asked] = []
        self.url = ""
        self._routes: dict[tuple[str, str], list[Reply]] = {}
        self._lock = threading.Lock()

    def on(self, method: str, path: str, *replies: Reply) -> None:
        """Answer this route with these replies."""
        self._routes[method, path] = list(replies)

    def asked(self, method: str, path: str) -> list[Asked]:
        """The requests of one route so far."""
        return [one for one in self.requests if (one.method, one.path) == (method, path)]

    def answer(self, asked: Asked) -> Reply:
        with self._lock:
            self.requests.append(asked)
            replies = self._routes.get((asked.method, asked.path))
            if not replies:
                message = f"the script has no {asked.method} {asked.path}"
                return Reply(404, json={"error": {"message": message, "code": "not_found"}, "detail": message})
            return replies.pop(0) if len(replies) > 1 else replies[0]


@contextmanager
def serve_script() -> Iterator[Script]:
    """Run a scripted server on a free port of 127.0.0.1."""
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            length = int(self.headers.get("content-length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, self.rfile.read(length))
            _send(self, script.answer(asked))

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 (names of the base class)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # clients that leave early are part of the tests

    server = Server(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    body = json.dumps(reply.json).encode() if reply.json is not None else reply.body
    headers = {name.lower(): value for name, value in reply.headers.items()}
    if reply.json is not None:
        headers.setdefault("content-type", "application/json")
    handler.send_response_only(reply.status)
    if reply.parts is not None:
        headers["transfer-encoding"] = "chunked"
    elif reply.status != 204:
        headers["content-length"] = str(len(body) + (1 if reply.cut else 0))
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    if reply.parts is None:
        handler.wfile.write(body)
    else:
        for part in reply.parts:
            if isinstance(part, threading.Event):
                assert part.wait(WAIT_S), "the test never let the stream go on"
            else:
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                handler.wfile.flush()
        if not reply.cut:
            handler.wfile.write(b"0\r\n\r\n")
    handler.wfile.flush()
    if reply.cut:
        handler.close_connection = True


def page(*items: dict[str, Any], number: int = 1, pages: int = 1, total: int | None = None) -> dict[str, Any]:
    """Make a list envelope."""
    return {
        "data": list(items),
        "pagination": {
            "page": number,
            "page_size": 100,
            "current_page_size": len(items),
            "total_pages": pages,
            "total_results": len(items) if total is None else total,
        },
        "sort": "name",
        "filter": None,
    }


TIMES = {"created_at": "2026-01-01T10:00:00.123456Z", "updated_at": "2026-01-01T10:00:00.123456Z"}


def secret(name: str = "openai-api-key", **members: Any) -> dict[str, Any]:
    """Make a secret as replies show it."""
    return {"name": name, "workspace": "default", "description": None, **TIMES, **members}


def provider(name: str = "openai", **members: Any) -> dict[str, Any]:
    """Make a provider as replies show it."""
    return {
        "id": "model-provider-7Yq2",
        "name": name,
        "workspace": "default",
        "host_url": "https://api.openai.com/v1",
        "api_key_secret_name": "openai-api-key",
        "served_models": [],
        "status": "READY",
        "status_message": "",
        **TIMES,
        **members,
    }


def model(name: str = "gpt-4", **members: Any) -> dict[str, Any]:
    """Make a model entity as replies show it."""
    return {"id": "model-1", "name": name, "workspace": "default", "backend_format": "OPENAI_CHAT", **TIMES} | members


def virtual_model(name: str = "fast", **members: Any) -> dict[str, Any]:
    """Make a virtual model as replies show it."""
    return {
        "id": "virtual-model-1",
        "entity_id": "virtual-model-1",
        "name": name,
        "workspace": "default",
        "models": [{"model": "default/gpt-4"}],
        **TIMES,
        **members,
    }


def workspace(name: str = "team", **members: Any) -> dict[str, Any]:
    """Make a workspace as replies show it."""
    return {"id": "workspace-1", "name": name, "description": None, **TIMES, **members}


def error(status: int, code: str, message: str, detail: Any = None) -> dict[str, Any]:
    """Make an error body (docs/wire.md, 2)."""
    inner = {"type": "error", "message": message, "code": code, "param": None}
    return {"type": "error", "error": inner, "detail": message if detail is None else detail}

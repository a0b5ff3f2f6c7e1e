"""GET /metrics in a thread of its own: it answers also while the event loop is stuck, and that is when it is needed."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import make_wsgi_app
from prometheus_client.registry import Collector

logger = structlog.get_logger(__name__)

PATH: Final = "/metrics"
_CLIENT_TIMEOUT_S: Final = 5.0
_END_TIMEOUT_S: Final = 2.0

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _Handler(WSGIRequestHandler):
    timeout = _CLIENT_TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
        """Scrapes are no news."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    timeout = 0

    def __init__(self, listener: socket.socket, app: WsgiApp) -> None:
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()  # the base class made one of its own
        listener.setblocking(False)  # who was ready to be accepted may be gone again
        self.socket = listener
        self.server_name, self.server_port = listener.getsockname()[:2]
        self.setup_environ()
        self.set_app(app)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Note what a scraper that left did not wait for."""
        logger.debug("a scrape broke off", exc_info=True)


@contextlib.contextmanager
def serving(collector: Collector, listener: socket.socket) -> Iterator[None]:
    """Serve the collector's metrics at /metrics on a listening socket, which is closed at the end."""
    waker, woken = socket.socketpair()
    with _Server(listener, only_metrics(make_wsgi_app(collector))) as server, waker, woken:
        thread = threading.Thread(target=_run, args=(server, woken), name="metrics", daemon=True)
        thread.start()
        try:
            yield
        finally:
            waker.close()
            thread.join(_END_TIMEOUT_S)


def only_metrics(metrics: WsgiApp) -> WsgiApp:
    """Answer 404 beside the one path, and 500 with a log entry where something cannot be counted."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != PATH:
            return _answer(start_response, "404 Not Found", f"metrics are at {PATH}\n")
        try:
            return metrics(environ, start_response)
        except Exception:
            logger.exception("the metrics cannot be shown")
            return _answer(start_response, "500 Internal Server Error", "the metrics cannot be shown; see the log\n")

    return app


def _answer(start_response: Callable[..., Any], status: str, text: str) -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [text.encode()]


def _run(server: _Server, woken: socket.socket) -> None:
    # The library's own loop would look twice a second whether it shall end.
    with selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while all(key.fileobj is not woken for key, _ in selector.select()):
            server.handle_request()

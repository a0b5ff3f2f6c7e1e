"""Simulated providers on real sockets, which check their key, record every request, and fail on demand.

In tests: `with start_upstream(Style.OPENAI, key="k") as upstream: ...`. By hand:
`python -m modelport_testing.upstreams --style openai --port 0 --key-env OPENAI_API_KEY` prints the host_url to
register and serves until SIGTERM or Ctrl-C.
"""

import argparse
import asyncio
import os
import signal
import ssl
import sys
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import httptools

from modelport_testing.canaries import hunt
from modelport_testing.providers import MODELS, RecordedRequest, Reply, Style, answer, refusal
from modelport_testing.running import free_port

T = TypeVar("T")

_ATTEMPTS = 5


@dataclass
class Faults:
    """What is wrong with a simulated provider at the moment; nothing to begin with."""

    status: int | None = None
    """Answer everything with this status."""
    delay_s: float = 0.0
    """Wait before answering."""
    token_interval_s: float = 0.0
    """Wait between the parts of a stream."""
    path_prefix: str = "/"
    """Only requests below this path suffer from it."""

    def clear(self) -> None:
        """Make it a healthy provider again."""
        self.__init__()  # type: ignore[misc]


class Upstream:
    """A simulated provider. Its methods may be called from any thread but its own."""

    def __init__(
        self,
        style: Style,
        key: str | None,
        host: str,
        loop: asyncio.AbstractEventLoop,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.style = style
        self._key = key
        self._keys = set() if key is None else {key}
        self.models: Sequence[str] = MODELS[style]
        """The ids it lists and serves. May be changed at any time."""
        self.faults = Faults()
        self.requests: list[RecordedRequest] = []
        """Every request it read to the end, oldest first."""
        self.port = 0
        self._host = host
        self._loop = loop
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def key(self) -> str | None:
        """The API key it accepts; None accepts any. May be changed at any time, as a provider's user may."""
        return self._key

    @key.setter
    def key(self, key: str | None) -> None:
        self._key = key
        if key is not None:
            self._keys.add(key)

    def may_get(self, key: str) -> None:
        """Say that a test gives the platform a wrong key for this provider, who will be sent it."""
        self._keys.add(key)

    def search(self) -> None:
        """Look for canaries in what it was sent; its own keys may be there, in headers."""
        for request in self.requests:
            lines = (b"%b: %b" % pair for pair in request.headers)
            head = b"\r\n".join([b"%b %b" % (request.method.encode(), request.target), *lines])
            hunt().recording(self.url, head, request.body, self._keys or None)

    @property
    def url(self) -> str:
        """Its origin, without a path."""
        if self._tls is not None:
            return f"https://localhost:{self.port}"
        host = "127.0.0.1" if self._host == "0.0.0.0" else self._host
        return f"http://{host}:{self.port}"

    @property
    def host_url(self) -> str:
        """What a user registers: OpenAI's documentation gives the address with /v1, the others without."""
        return f"{self.url}/v1" if self.style is Style.OPENAI else self.url

    def requests_to(self, path: str) -> list[RecordedRequest]:
        """The recorded requests for exactly this path."""
        return [request for request in self.requests if request.path == path]

    def die(self) -> None:
        """Refuse connections from now on and break the open ones."""
        self._call(self.close())

    def revive(self) -> None:
        """Listen again, on the same port."""
        self._call(self.listen())

    async def listen(self, port: int = 0) -> None:
        """Begin to listen (on its own loop): on `port`, or where it listened before, or on a free port."""
        port = port or self.port
        for attempt in range(_ATTEMPTS):
            try:
                chosen = port or free_port()
                self._server = await asyncio.start_server(self._accept, self._host, chosen, backlog=1024, ssl=self._tls)
            except OSError:
                if port or attempt == _ATTEMPTS - 1:
                    raise
            else:
                self.port = chosen
                return

    async def close(self) -> None:
        """Stop listening and break all connections (on its own loop)."""
        if self._server is None:
            return
        self._server.close()
        connections = list(self._connections.items())
        for task, writer in connections:
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*(task for task, _ in connections), return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            await self._serve(reader, writer)
        except (ConnectionError, httptools.HttpParserError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            del self._connections[task]
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming = _Incoming()
        while True:
            data = await reader.read(65536)
            if not data:
                return
            for request in incoming.feed(data):
                self.requests.append(request)
                await self._send(await self._answer(request), request, writer)

    async def _answer(self, request: RecordedRequest) -> Reply:
        if not request.path.startswith(self.faults.path_prefix):
            return answer(self.style, self.key, self.models, request)
        if self.faults.delay_s:
            await asyncio.sleep(self.faults.delay_s)
        if self.faults.status is not None:
            return refusal(self.style, self.faults.status, "simulated failure")
        return answer(self.style, self.key, self.models, request)

    async def _send(self, reply: Reply, request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        reason = HTTPStatus(reply.status).phrase if reply.status in set(HTTPStatus) else "Simulated"
        lines = [f"HTTP/1.1 {reply.status} {reason}", f"content-type: {reply.content_type}"]
        lines += [f"{name}: {value}" for name, value in reply.headers]
        lines.append(f"content-length: {len(reply.body)}" if reply.parts is None else "transfer-encoding: chunked")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        if reply.parts is None or request.method == "HEAD":
            writer.write(head + (b"" if request.method == "HEAD" else reply.body))
            await writer.drain()
            return
        writer.write(head)
        for part in reply.parts:
            writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            await writer.drain()
            if self.faults.token_interval_s:
                await asyncio.sleep(self.faults.token_interval_s)
        writer.write(b"0\r\n\r\n")
        await writer.drain()


class _Incoming:
    """Turns one connection's bytes into requests."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._complete: list[RecordedRequest] = []
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""

    def feed(self, data: bytes) -> list[RecordedRequest]:
        self._parser.feed_data(data)
        complete, self._complete = self._complete, []
        return complete

    # What httptools calls.
    def on_message_begin(self) -> None:
        self._target, self._headers, self._body = b"", [], b""

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode("latin-1")
        self._complete.append(RecordedRequest(method, self._target, self._headers, self._body))


@contextmanager
def start_upstream(
    style: Style,
    *,
    key: str | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Upstream]:
    """Run a simulated provider in a thread of its own; with `tls` its certificate must be for localhost."""
    started = threading.Event()
    stop: asyncio.Event
    upstream: Upstream
    failure: list[BaseException] = []

    async def serve() -> None:
        nonlocal stop, upstream
        stop = asyncio.Event()
        upstream = Upstream(style, key, host, asyncio.get_running_loop(), tls)
        try:
            await upstream.listen(port)
        except OSError as error:
            failure.append(error)
            return
        finally:
            started.set()
        await stop.wait()
        await upstream.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name=f"upstream-{style}", daemon=True)
    thread.start()
    started.wait()
    if failure:
        thread.join()
        raise failure[0]
    try:
        yield upstream
    finally:
        upstream._loop.call_soon_threadsafe(stop.set)
        thread.join()
        upstream.search()


def main(arguments: Sequence[str]) -> int:
    """Run one simulated provider in the foreground."""
    parser = argparse.ArgumentParser(prog="python -m modelport_testing.upstreams", description=__doc__)
    parser.add_argument("--style", type=Style, choices=list(Style), required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--key-env", help="the environment variable with the key it accepts; without it, any")
    parser.add_argument("--token-interval", type=float, default=0.0, help="seconds between the tokens of a stream")
    options = parser.parse_args(arguments)
    key = os.environ[options.key_env] if options.key_env else None
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    with start_upstream(options.style, key=key, host=options.host, port=options.port) as upstream:
        upstream.faults.token_interval_s = options.token_interval
        sys.stdout.write(f"{upstream.host_url}\n")
        sys.stdout.flush()
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

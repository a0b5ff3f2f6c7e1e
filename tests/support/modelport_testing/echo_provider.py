"""A provider, as a process of its own, whose replies tell what reached it: the path, the key, the request's number.

`GET {base}/v1/models` lists one model for a base `/serve/<model>`, none for any other. Every other request is
answered with `{"path", "authorization", "number"}`; one whose body says `"stream": true` gets that as the first of
EVENTS events, EVENT_INTERVAL_S apart.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httptools
import uvloop

EVENTS = 20
EVENT_INTERVAL_S = 0.05


class _Connection(asyncio.Protocol):
    _transport: asyncio.Transport
    _parser: httptools.HttpRequestParser

    def __init__(self) -> None:
        self._url = b""
        self._authorization = b""
        self._body = b""
        self._streams: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        for stream in self._streams:
            stream.cancel()

    # What httptools calls.
    def on_message_begin(self) -> None:
        self._url, self._authorization, self._body = b"", b"", b""

    def on_url(self, part: bytes) -> None:
        self._url += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"authorization":
            self._authorization = value

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        path = self._url.decode()
        base, is_listing, _ = path.partition("/v1/models")
        if is_listing:
            model = base.removeprefix("/serve/")
            data = [{"id": model, "object": "model"}] if model != base else []
            self._reply({"object": "list", "data": data})
            return
        asked = json.loads(self._body) if self._body else {}
        told = {"path": path, "authorization": self._authorization.decode(), "number": asked.get("number")}
        if asked.get("stream"):
            self._streams.add(stream := asyncio.ensure_future(self._stream(told)))
            stream.add_done_callback(self._streams.discard)
        else:
            self._reply(told)

    def _reply(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)

    async def _stream(self, told: dict[str, Any]) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        self._transport.write(head)
        for event in range(EVENTS):
            piece = b"data: %s\n\n" % json.dumps(told if event == 0 else {"event": event}).encode()
            self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await asyncio.sleep(EVENT_INTERVAL_S)
        self._transport.write(b"0\r\n\r\n")


@contextlib.contextmanager
def start_echo_provider() -> Iterator[str]:
    """Run it; gives its address, which paths of providers' host_url follow."""
    command = [sys.executable, "-P", "-m", "modelport_testing.echo_provider"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.communicate(timeout=10)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Whoever started it holds the other end: it goes with them, however they end.
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(_serve())

"""A provider that streams events on time, in a process of its own: `python -m modelport_bench.sse_upstream`.

Prints its port, then serves until it is ended. `POST ...?events=N&every_ms=M` is answered with N chat completion
chunks, the first at once, then one every M milliseconds counted from the first, so that lateness does not add up, and
with `[DONE]`. Each event carries its number and when it was sent; `time.monotonic_ns` is one clock for all processes
of a machine. Anything else is answered with an empty listing of models.
"""

import asyncio
import gc
import re
import signal
import time
from typing import cast

import uvloop

from modelport_bench.workload import MODEL

_STREAM = re.compile(rb"^POST \S*\?events=(\d+)&every_ms=(\d+) ")
_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_EVENT = (
    b'data: {"n":%08d,"sent_ns":%020d,"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"' + MODEL.encode() + b'","choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}]}\n\n'
)
_DONE = b"data: [DONE]\n\n"
# No model is served here: the model and OpenAI routes would choose between this provider and the other.
_LISTING = b'{"object":"list","data":[]}'
_LISTED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(_LISTING),
    _LISTING,
)


def _chunk(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)


class _Connection(asyncio.Protocol):
    """One connection, one request after another."""

    _transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None
        self._began = 0.0
        self._events = self._sent = 0
        self._every_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        self._received = b""
        stream = _STREAM.match(head)
        if stream is None:
            self._transport.write(_LISTED)
            return
        self._events, self._sent = int(stream[1]), 0
        self._every_s = int(stream[2]) / 1000
        self._began = self._loop.time()
        self._send(_HEAD)

    def _send(self, before: bytes = b"") -> None:
        event = _chunk(_EVENT % (self._sent, time.monotonic_ns()))
        self._sent += 1
        if self._sent < self._events:
            self._transport.write(before + event)
            self._timer = self._loop.call_at(self._began + self._sent * self._every_s, self._send)
        else:
            self._transport.write(before + event + _chunk(_DONE) + b"0\r\n\r\n")


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = await loop.create_server(lambda: _Connection(loop), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.freeze()
    await ended.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(_serve())

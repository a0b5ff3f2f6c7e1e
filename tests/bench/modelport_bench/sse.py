"""The load of event streams: opens them, and notes when each event came.

What is asked: does every event arrive, does any stream stall, and how much later does the first event come than
without a proxy between. The same load runs directly first: what stalls there is the machine's or the load's fault.
"""

import asyncio
import gc
import time
from dataclasses import dataclass, field
from typing import cast

import httptools
import uvloop

from modelport_bench.wrk import LoadError

EVERY_MS = 50
STALL_S = 0.25
"""A gap of five intervals. Somebody who reads along sees a pause from about a quarter of a second on; below it are the
hiccups of a machine whose two cores are shared by the load, the upstream and what is measured."""

_NUMBER = slice(11, 19)
_SENT = slice(30, 50)
_DONE = b"data: [DONE]"


@dataclass
class Streams:
    """What one run of streams saw. Times in milliseconds."""

    streams: int = 0
    events: int = 0
    lost: int = 0
    """Events that never came, or came out of order."""
    stalls: int = 0
    stalled_streams: int = 0
    longest_gap_ms: float = 0
    first_event_ms: list[float] = field(default_factory=list)
    """From the request to its first event, one for each stream."""
    transit_ms: list[float] = field(default_factory=list)
    """From when the upstream wrote an event until it was here; every tenth."""
    cpu_us_per_event: float = 0


class _Stream(asyncio.Protocol):
    """One connection that asks for one stream after another."""

    _transport: asyncio.Transport
    _parser: httptools.HttpResponseParser

    def __init__(self, seen: Streams) -> None:
        self._seen = seen
        self._pending = b""
        self._expected = self._next = 0
        self._asked = self._last = 0.0
        self._stalled = False
        self._finished: asyncio.Future[None] | None = None
        self._failure: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes, events: int) -> asyncio.Future[None]:
        """Send the request; the future is done when its reply has ended, however it ended."""
        self._parser = httptools.HttpResponseParser(self)
        self._expected, self._next, self._stalled, self._pending = events, 0, False, b""
        self._seen.streams += 1
        self._finished = asyncio.get_running_loop().create_future()
        self._asked = time.monotonic()
        self._transport.write(request)
        return self._finished

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status != 200:
            self._failure = f"a stream was answered with {status}"

    def on_body(self, body: bytes) -> None:
        if self._failure is not None:
            return
        now = time.monotonic()
        *events, self._pending = (self._pending + body).split(b"\n\n")
        for event in events:
            self._event(event, now)

    def on_message_complete(self) -> None:
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _event(self, event: bytes, now: float) -> None:
        if event == _DONE:
            return
        seen = self._seen
        number = int(event[_NUMBER])
        if number == 0:
            seen.first_event_ms.append((now - self._asked) * 1000)
        else:
            gap = now - self._last
            seen.longest_gap_ms = max(seen.longest_gap_ms, gap * 1000)
            if gap > STALL_S:
                seen.stalls += 1
                self._stalled = True
        if number % 10 == 0:
            seen.transit_ms.append(now * 1000 - int(event[_SENT]) / 1_000_000)
        seen.lost += number != self._next
        self._next = number + 1
        self._last = now
        seen.events += 1

    def _end(self) -> None:
        if self._finished is None or self._finished.done():
            return
        self._seen.lost += self._expected - self._next
        self._seen.stalled_streams += self._stalled
        if self._failure is not None:
            self._finished.set_exception(RuntimeError(self._failure))
        else:
            self._finished.set_result(None)


def request(host: str, path: str, events: int, head: bytes) -> bytes:
    """Return a request for a stream: `head` is an ordinary request, whose target is replaced."""
    target = f"POST {path}?events={events}&every_ms={EVERY_MS} HTTP/1.1\r\nHost: {host}\r\n"
    return target.encode() + head.split(b"\r\n", 2)[2]


async def _run(host: str, message: bytes, streams: int, events: int, times: int) -> Streams:
    loop = asyncio.get_running_loop()
    seen = Streams()
    address, _, port = host.partition(":")

    async def one(number: int, spread_s: float) -> None:
        # Spread over the time, as people are: all at once would measure the queue they form, not the way.
        await asyncio.sleep(number / streams * spread_s)
        _, stream = await loop.create_connection(lambda: _Stream(seen), address, int(port))
        try:
            for _ in range(times):
                await asyncio.wait_for(stream.ask(message, events), events * EVERY_MS / 1000 + 30)
        finally:
            stream.close()

    # A spread that is no multiple of the interval: the streams' events fall evenly between each other.
    spread_s = max(streams / 500, (events + 0.5) * EVERY_MS / 1000 * (times > 1))
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(streams):
                group.create_task(one(number, spread_s))
    finally:
        gc.enable()
        gc.unfreeze()
    return seen


def run(host: str, path: str, head: bytes, *, streams: int, events: int, times: int = 1) -> Streams:
    """Open `streams` streams of `events` events at `host` ("address:port"), each `times` times in a row.

    Raises LoadError where a stream was not answered with 200 or took half a minute longer than it should.
    """
    try:
        return uvloop.run(_run(host, request(host, path, events, head), streams, events, times))
    except ExceptionGroup as errors:
        first = errors.exceptions[0]
        raise LoadError(f"{len(errors.exceptions)} of {streams} streams at {host}{path} failed: {first!r}") from first

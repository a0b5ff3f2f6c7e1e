"""A steady load of all kinds of requests, each reply checked to the last byte; what fails is kept."""

import asyncio
import contextlib
import hashlib
import itertools
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Self

from modelport_testing.raw_client import RawClient, RawResponse, TruncatedError, build_json, build_request
from modelport_testing.scripted_upstream import Answering, RawRequest

EVENTS = 10
EVENT_INTERVAL_S = 0.02
UPLOAD_PIECES = 6
UPLOAD_PIECE = bytes(range(256)) * 32
TIMEOUT_S = 20.0


async def serve_load(request: RawRequest, answering: Answering) -> None:
    """Answer as the clients below expect it; the script of a ScriptedUpstream."""
    kind, _, number = request.target.rpartition(b"/")[2].partition(b"-")
    if not number:
        await answering.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")  # discovery asks for models
    elif kind == b"stream":
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        await answering.send(head)
        for event in range(EVENTS):
            await answering.send_chunk(b"data: %b %d\n\n" % (number, event))
            await asyncio.sleep(EVENT_INTERVAL_S)
        await answering.send(b"0\r\n\r\n")
    else:
        await asyncio.sleep(int(number) % 4 * 0.005)
        body = number + b" " + hashlib.sha256(request.body).hexdigest().encode()
        await answering.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


@dataclass(frozen=True)
class Failure:
    """A request that was not answered as it should be."""

    kind: str
    at: float
    """When the request, or its connection, was begun; time.monotonic()."""
    stage: str
    """`connect`: no connection came about. `unanswered`: it ended without a byte. `answer`: the reply was wrong."""
    is_fresh: bool
    """The first request of its connection."""
    what: str


@dataclass
class Load:
    """Clients that ask the port that `port()` names, again and again, until told to stop."""

    port: Callable[[], int]
    route: str
    failures: list[Failure] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _stopping: bool = False
    _clients: "list[asyncio.Task[None]]" = field(default_factory=list)

    def start(self, *, kept: int = 6, fresh: int = 4, streams: int = 6, uploads: int = 3) -> Self:
        """Begin: clients that keep their connection, that do not, that read streams, that upload slowly."""
        for kind, count, ask, keeps in (
            ("kept", kept, self._ask_plain, True),
            ("fresh", fresh, self._ask_plain, False),
            ("stream", streams, self._ask_stream, True),
            ("upload", uploads, self._ask_upload, True),
        ):
            for _ in range(count):
                self._clients.append(asyncio.ensure_future(self._run(kind, ask, keeps=keeps)))
        return self

    async def stop(self) -> None:
        """Let every client finish its request."""
        self._stopping = True
        await asyncio.gather(*self._clients)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _run(
        self, kind: str, ask: Callable[[RawClient, int], Coroutine[Any, Any, RawResponse]], *, keeps: bool
    ) -> None:
        client: RawClient | None = None
        try:
            while not self._stopping:
                at = time.monotonic()
                number = next(self._numbers)
                is_fresh = client is None
                try:
                    client = client or await RawClient.connect(f"http://127.0.0.1:{self.port()}")
                except OSError as error:
                    self.failures.append(Failure(kind, at, "connect", True, repr(error)))
                    await asyncio.sleep(0.05)
                    continue
                try:
                    async with asyncio.timeout(TIMEOUT_S):
                        response = await ask(client, number)
                except (TruncatedError, ConnectionError, TimeoutError, AssertionError) as error:
                    is_unanswered = isinstance(error, ConnectionError | TruncatedError) and not _got(error)
                    stage = "unanswered" if is_unanswered else "answer"
                    self.failures.append(Failure(kind, at, stage, is_fresh, repr(error)[:500]))
                    client.abort()
                    client = None
                    continue
                self.answered[kind] += 1
                if not keeps or response.value("connection") == b"close":
                    await client.close()
                    client = None
                await asyncio.sleep(0.005)
        finally:
            if client is not None:
                client.abort()
                with contextlib.suppress(ConnectionError):
                    await client.writer.wait_closed()

    async def _ask_plain(self, client: RawClient, number: int) -> RawResponse:
        body = b'{"number": %d}' % number
        await client.send(build_json(f"{self.route}plain-{number}", body))
        return _check(await client.read_response(), number, body)

    async def _ask_upload(self, client: RawClient, number: int) -> RawResponse:
        length = UPLOAD_PIECES * len(UPLOAD_PIECE)
        await client.send(build_request("POST", f"{self.route}upload-{number}", f"Content-Length: {length}"))
        for _ in range(UPLOAD_PIECES):
            await asyncio.sleep(0.03)
            await client.send(UPLOAD_PIECE)
        return _check(await client.read_response(), number, UPLOAD_PIECE * UPLOAD_PIECES)

    async def _ask_stream(self, client: RawClient, number: int) -> RawResponse:
        await client.send(build_request("GET", f"{self.route}stream-{number}"))
        response = await client.read_response()
        assert response.status == 200, response
        assert response.body == b"".join(b"data: %d %d\n\n" % (number, event) for event in range(EVENTS)), response
        return response


def _check(response: RawResponse, number: int, body: bytes) -> RawResponse:
    assert response.status == 200, response
    assert response.body == b"%d %b" % (number, hashlib.sha256(body).hexdigest().encode()), response
    return response


def _got(error: ConnectionError | TruncatedError) -> bool:
    return isinstance(error, TruncatedError) and bool(error.raw)

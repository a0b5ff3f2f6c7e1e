"""Independent readers of HTTP/1.1: what several servers or clients make of the same bytes.

Each takes everything that came on one connection and returns the messages it sees, or raises UnreadableError. Where
readers disagree, a message can be smuggled past one of them.
"""

import http.client
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

import h11
import httptools

_H11_LIMIT = 2**20


class UnreadableError(Exception):
    """The reader refuses the bytes, or they end within a message."""


@dataclass(frozen=True)
class Message:
    """A request as `METHOD target`, or a reply as its status, and its body without framing."""

    start: bytes
    body: bytes


# Requests


class _Collector:
    """Callbacks of httptools; a message counts once it is complete."""

    def __init__(self) -> None:
        self.parser: Any = None
        self.messages: list[Message] = []
        self.is_within = False
        self._target = b""
        self._body = b""

    def on_message_begin(self) -> None:
        self.is_within, self._target, self._body = True, b"", b""

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.is_within = False
        self.messages.append(Message(self.start(), self._body))

    def start(self) -> bytes:
        return bytes(self.parser.get_method()) + b" " + self._target


class _ReplyCollector(_Collector):
    def __init__(self) -> None:
        super().__init__()
        self.is_framed = False
        """The end of the connection is not its end."""

    def on_header(self, name: bytes, _: bytes) -> None:
        self.is_framed = self.is_framed or name.lower() in (b"content-length", b"transfer-encoding")

    def start(self) -> bytes:
        return b"%d" % self.parser.get_status_code()


def requests_by_httptools(data: bytes) -> list[Message]:
    """Read as llhttp does."""
    collector = _Collector()
    collector.parser = httptools.HttpRequestParser(collector)
    try:
        collector.parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
        raise UnreadableError(f"httptools: {error!r}") from None
    if collector.is_within:
        raise UnreadableError("httptools: the bytes end within a request")
    return collector.messages


def requests_by_h11(data: bytes) -> list[Message]:
    """Read as h11 does, in the part of a server."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_H11_LIMIT)
    messages: list[Message] = []
    start, body = b"", b""
    try:
        connection.receive_data(data)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                start, body = event.method + b" " + event.target, b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                messages.append(Message(start, body))
                connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    break
                connection.start_next_cycle()
            else:
                break
    except (h11.RemoteProtocolError, h11.LocalProtocolError) as error:
        raise UnreadableError(f"h11: {error}") from None
    if connection.their_state not in (h11.IDLE, h11.DONE, h11.MUST_CLOSE) or connection.trailing_data[0]:
        raise UnreadableError("h11: the bytes end within a request, or go on after the last")
    return messages


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    raw_requestline: bytes

    def __init__(self, data: bytes) -> None:
        self.rfile = io.BytesIO(data)
        self.wfile = self.answers = io.BytesIO()
        self.client_address = ("127.0.0.1", 0)
        self.close_connection = False

    def log_message(self, *_: Any) -> None:
        pass


def requests_by_http_server(data: bytes) -> list[Message]:
    """Read as the standard library's server does; it leaves chunks to whoever uses it."""
    handler = _Handler(data)
    messages: list[Message] = []
    while True:
        handler.raw_requestline = handler.rfile.readline(65537)
        if not handler.raw_requestline:
            break
        if not handler.parse_request():
            raise UnreadableError(f"http.server: {handler.answers.getvalue()[:80]!r}")
        coding = handler.headers.get_all("Transfer-Encoding", [])
        if coding:
            if coding != ["chunked"] or "Content-Length" in handler.headers:
                raise UnreadableError(f"http.server: {coding} with a length or not alone")
            body = _read_chunks(handler.rfile)
        else:
            body = _read_counted(handler.rfile, handler.headers.get_all("Content-Length", []))
        messages.append(Message(f"{handler.command} {handler.path}".encode("latin-1"), body))
        if handler.close_connection:
            if handler.rfile.read():
                raise UnreadableError("http.server: bytes after the last request")
            break
    return messages


def _read_counted(file: io.BufferedIOBase, lengths: Sequence[str]) -> bytes:
    if len(lengths) > 1 or not all(length.isdigit() for length in lengths):
        raise UnreadableError(f"http.server: lengths {lengths}")
    wanted = int(lengths[0]) if lengths else 0
    body = file.read(wanted)
    if len(body) < wanted:
        raise UnreadableError("http.server: the bytes end within a body")
    return body


def _read_chunks(file: io.BufferedIOBase) -> bytes:
    body = b""
    while True:
        line = file.readline(65537)
        size, _, _ = line.removesuffix(b"\r\n").partition(b";")
        if not line.endswith(b"\r\n") or not size or size.strip(b"0123456789abcdefABCDEF"):
            raise UnreadableError(f"chunk size {line!r}")
        length = int(size, 16)
        if length == 0:
            break
        chunk = file.read(length + 2)
        if len(chunk) < length + 2 or not chunk.endswith(b"\r\n"):
            raise UnreadableError("a chunk does not end where it should")
        body += chunk[:-2]
    while (line := file.readline(65537)) != b"\r\n":
        if not line.endswith(b"\r\n"):
            raise UnreadableError(f"trailer {line!r}")
    return body


REQUEST_READERS: tuple[Callable[[bytes], list[Message]], ...] = (
    requests_by_httptools,
    requests_by_h11,
    requests_by_http_server,
)


def read_requests(data: bytes) -> list[Message]:
    """Return the requests that all readers see. Raises AssertionError where they disagree."""
    seen = [reader(data) for reader in REQUEST_READERS]
    assert seen.count(seen[0]) == len(seen), seen
    return seen[0]


# Replies, up to the end of the connection


def replies_by_httptools(data: bytes, methods: Sequence[str]) -> list[Message]:
    """Read as llhttp does. It knows nothing of HEAD, so a reply to one must be the last."""
    messages: list[Message] = []
    for method in methods:
        collector = _ReplyCollector()
        collector.parser = httptools.HttpResponseParser(collector)
        if method == "HEAD":
            head, _, data = data.partition(b"\r\n\r\n")
            messages.append(Message(head[9:12], b""))
            continue
        try:
            data = _feed_one(collector, data)
        except httptools.HttpParserError as error:
            raise UnreadableError(f"httptools: {error!r}") from None
        messages += collector.messages
    if data:
        raise UnreadableError(f"httptools: bytes after the last reply: {data[:80]!r}")
    return messages


def _feed_one(collector: _ReplyCollector, data: bytes) -> bytes:
    """Feed one reply, interim ones before it included; return what is behind it."""
    for position in range(len(data)):
        collector.parser.feed_data(data[position : position + 1])
        if collector.messages and collector.messages[0].start.startswith(b"1"):
            collector.messages.clear()
        if collector.messages:
            return data[position + 1 :]
    if collector.is_framed or not data:
        raise UnreadableError("httptools: the bytes end within a reply")
    # One that ends with the connection: httptools offers no way to tell llhttp of the end.
    collector.on_message_complete()
    return b""


def replies_by_h11(data: bytes, methods: Sequence[str]) -> list[Message]:
    """Read as h11 does, in the part of a client."""
    messages: list[Message] = []
    for method in methods:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_H11_LIMIT)
        connection.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        connection.send(h11.EndOfMessage())
        start, body = b"", b""
        try:
            connection.receive_data(data)
            connection.receive_data(b"")
            while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                if isinstance(event, h11.Response):
                    start = b"%d" % event.status_code
                elif isinstance(event, h11.Data):
                    body += event.data
                elif not isinstance(event, h11.InformationalResponse):
                    raise UnreadableError(f"h11: {event}")
        except h11.RemoteProtocolError as error:
            raise UnreadableError(f"h11: {error}") from None
        messages.append(Message(start, body))
        data = connection.trailing_data[0]
    if data:
        raise UnreadableError(f"h11: bytes after the last reply: {data[:80]!r}")
    return messages


class _Bytes:
    """What http.client takes for a socket."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file

    def makefile(self, _: str) -> io.BufferedReader:
        return self._file


class _KeptOpen(io.BufferedReader):
    """http.client closes its file after each reply; the next one stands behind it."""

    def close(self) -> None:
        pass


def replies_by_http_client(data: bytes, methods: Sequence[str]) -> list[Message]:
    """Read as the standard library's client does."""
    file = _KeptOpen(io.BytesIO(data))
    messages: list[Message] = []
    for method in methods:
        response = http.client.HTTPResponse(_Bytes(file), method=method)  # type: ignore[arg-type]
        try:
            response.begin()
            body = response.read()
        except (http.client.HTTPException, ValueError) as error:
            raise UnreadableError(f"http.client: {error!r}") from None
        messages.append(Message(b"%d" % response.status, body))
    if rest := file.read():
        raise UnreadableError(f"http.client: bytes after the last reply: {rest[:80]!r}")
    return messages


REPLY_READERS: tuple[Callable[[bytes, Sequence[str]], list[Message]], ...] = (
    replies_by_httptools,
    replies_by_h11,
    replies_by_http_client,
)


def read_replies(data: bytes, methods: Sequence[str]) -> list[Message]:
    """Return the replies that all readers see. Raises AssertionError where they disagree."""
    seen = [reader(data, methods) for reader in REPLY_READERS]
    assert seen.count(seen[0]) == len(seen), seen
    return seen[0]

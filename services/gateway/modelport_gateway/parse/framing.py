"""Where a message's body ends, for requests and replies alike (RFC 9112, 6).

Each class takes the bytes that follow a head and gives back the body's payload and what lies beyond its end.
Nothing here decides which framing applies: parse/head.py does for requests, send/reply.py for replies.
"""

from typing import Final

import httptools

from modelport_gateway.parse.lines import END_OF_HEAD

MAX_LENGTH_DIGITS: Final = 19
"""Of a Content-Length: more do not fit into the 64 bits that other servers give it."""
MAX_FRAMING_BYTES: Final = 64 * 1024
"""What chunk sizes, extensions and trailers may take beyond their share of the payload."""
_FRAMING_PER_BYTE: Final = 16
"""That share: the smallest chunk, of one byte, has five bytes around it."""

_CHUNKED_HEAD: Final = b"POST / HTTP/1.1\r\nHost: -\r\nTransfer-Encoding: chunked\r\n\r\n"


class FramingError(ValueError):
    """The body breaks its own framing."""


class NoBody:
    """A message that ends with its head."""

    __slots__ = ()
    done = True
    until_close = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return (payload, rest)."""
        return b"", data


class CountedBody:
    """A body of Content-Length bytes."""

    __slots__ = ("done", "remaining")
    until_close = False

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.done = length == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return (payload, rest)."""
        remaining = self.remaining - len(data)
        if remaining > 0:
            self.remaining = remaining
            return data, b""
        self.done = True
        if remaining == 0:
            self.remaining = 0
            return data, b""
        cut = self.remaining
        self.remaining = 0
        return data[:cut], data[cut:]


class BodyUntilClose:
    """A reply without length: the end of the connection is its end."""

    __slots__ = ()
    done = False
    until_close = True

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return (payload, rest)."""
        return data, b""


class _Sink:
    # Apart from ChunkedBody: the parser holds its callbacks, and a body that held the parser and was held by it
    # would be a reference cycle per message.
    __slots__ = ("done", "pieces")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.done = False

    def on_body(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def on_message_complete(self) -> None:
        self.done = True


class ChunkedBody:
    """A chunked body, decoded by llhttp; extensions and trailers are dropped (RFC 9110, 6.5.1).

    llhttp does not tell where in its input a message ended. A chunked message ends with CRLF CRLF and nowhere else,
    so the input is fed in pieces that end there.
    """

    __slots__ = ("_allowance", "_parser", "_sink", "_tail", "done")
    until_close = False

    def __init__(self) -> None:
        self.done = False
        self._sink = _Sink()
        self._parser = httptools.HttpRequestParser(self._sink)
        self._parser.feed_data(_CHUNKED_HEAD)
        self._tail = b""
        self._allowance = MAX_FRAMING_BYTES

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return (payload, rest). Raises FramingError."""
        tail, sink = self._tail, self._sink
        window = tail + data if tail else data
        position, search = len(tail), 0
        rest = b""
        while True:
            found = window.find(END_OF_HEAD, search)
            end = len(window) if found < 0 else found + len(END_OF_HEAD)
            if end > position:
                self._decode(window if position == 0 and end == len(window) else window[position:end])
                position = end
                if sink.done:
                    self.done = True
                    rest = window[end:]
                    break
            if found < 0:
                break
            search = found + 1
        self._tail = window[-3:]
        pieces = sink.pieces
        payload = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._allowance -= len(data) - len(rest) - (1 + _FRAMING_PER_BYTE) * len(payload)
        if self._allowance < 0:
            raise FramingError("chunk extensions or trailers beyond 64 KiB")
        return payload, rest

    def _decode(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise FramingError(f"invalid chunked body: {error}") from None


Body = NoBody | CountedBody | BodyUntilClose | ChunkedBody
NO_BODY: Final = NoBody()


def as_chunk(payload: bytes) -> bytes:
    """Frame a payload as one chunk; it must not be empty (an empty chunk is the end)."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


LAST_CHUNK: Final = b"0\r\n\r\n"

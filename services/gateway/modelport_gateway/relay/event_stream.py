"""Where a relayed event stream stands, so that an error can be told without breaking it (docs/dataplane.md, Ends)."""

from modelport_gateway.send.reply import ReplyHead

_ENDS_OF_EVENT = (b"\n\n", b"\n\r\n", b"\r\r", b"\r\r\n")


class EventBoundary:
    """Remembers the last bytes of an uncompressed event stream."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\n\n"

    def passed(self, payload: bytes) -> None:
        """Take note of what went to the client."""
        self._tail = payload[-4:] if len(payload) >= 4 else (self._tail + payload)[-4:]

    @property
    def is_between_events(self) -> bool:
        """True where the next bytes would begin a new event."""
        return self._tail.endswith(_ENDS_OF_EVENT)


def boundary_for(reply: ReplyHead) -> EventBoundary | None:
    """Return a boundary watch where an error event could be understood: an event stream, not compressed."""
    encoding = reply.content_encoding
    if not reply.is_event_stream or (encoding is not None and encoding.lower() not in (b"", b"identity")):
        return None
    return EventBoundary()

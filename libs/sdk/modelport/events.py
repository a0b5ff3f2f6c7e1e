"""Server-sent events (WHATWG HTML, 9.2): the decoder, and streams of events over a reply."""

import codecs
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from modelport.errors import ConnectionFailedError, RequestTimedOutError, StreamError, message_of

_LINE_END = re.compile(r"\r\n|\n|\r")
_DONE = "[DONE]"
_STREAM_TYPE = "text/event-stream"


@dataclass(frozen=True)
class Event:
    """One event of a stream: `data`, `name` ("message" unless the stream says otherwise) and `id`."""

    data: str
    name: str = "message"
    id: str | None = None

    def json(self) -> Any:
        """Parse the data. Raises ValueError where it is no JSON."""
        return json.loads(self.data)


class EventDecoder:
    """Turns a stream's bytes, cut anywhere, into events. What an unfinished event holds at the end is dropped."""

    def __init__(self) -> None:
        self._text = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._rest = ""
        self._data: list[str] = []
        self._name = ""
        self._id: str | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes and return the events they complete."""
        text = self._rest + self._text.decode(chunk)
        # A CR at the end may be the first half of a CRLF.
        held = text[-1:] if text.endswith("\r") else ""
        *lines, rest = _LINE_END.split(text[: len(text) - len(held)])
        self._rest = rest + held
        events = (self._line(line) for line in lines)
        return [event for event in events if event is not None]

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif field == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> Event | None:
        data, name = self._data, self._name
        self._data, self._name = [], ""
        return Event("\n".join(data), name or "message", self._id) if data else None


def check(event: Event) -> Event | None:
    """Return the event to hand on, None for the end mark. Raises StreamError for an error event.

    Error events are `event: error` (docs/dataplane.md, Ends; Anthropic) or a data object with `error` (OpenAI).
    """
    if event.data == _DONE:
        return None
    if event.name != "error" and '"error"' not in event.data:
        return event
    try:
        body = event.json()
    except ValueError:
        body = event.data
    if event.name == "error" or (isinstance(body, dict) and body.get("error")):
        raise StreamError(message_of(body) or "the stream ended with an error", body)
    return event


def stream_failure(error: httpx.TransportError) -> ConnectionFailedError:
    """Make the error for a stream that did not come to its end."""
    if isinstance(error, httpx.TimeoutException):
        return RequestTimedOutError("the stream stalled", hint="A larger timeout gives it longer")
    return ConnectionFailedError(f"the stream was cut off: {error}")


def is_stream(response: httpx.Response) -> bool:
    """Say whether a reply is a stream of events; a provider may ignore the wish and answer whole."""
    return str(response.headers.get("content-type", "")).lower().startswith(_STREAM_TYPE)


class EventStream:
    """The events of a reply as they come. Iterate over it; leave it early with `close()` or a `with` block.

    A reply that is no stream is one event, its data the whole body. Iterating raises StreamError for an error
    event and ConnectionFailedError when the stream is cut.
    """

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._events = self._iterate()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        return next(self._events)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the exchange; the platform then ends its request to the provider."""
        self._events.close()
        self.response.close()

    def _iterate(self) -> Generator[Event, None, None]:
        decoder = EventDecoder()
        try:
            if not is_stream(self.response):
                self.response.read()
                yield Event(self.response.text)
                return
            for chunk in self.response.iter_bytes():
                for event in decoder.feed(chunk):
                    checked = check(event)
                    if checked is not None:
                        yield checked
        except httpx.TransportError as error:
            raise stream_failure(error) from error
        finally:
            self.response.close()


class AsyncEventStream:
    """EventStream for `async for` and `async with`."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._events = self._iterate()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        return await anext(self._events)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the exchange; the platform then ends its request to the provider."""
        await self._events.aclose()
        await self.response.aclose()

    async def _iterate(self) -> AsyncGenerator[Event, None]:
        decoder = EventDecoder()
        try:
            if not is_stream(self.response):
                await self.response.aread()
                yield Event(self.response.text)
                return
            async for chunk in self.response.aiter_bytes():
                for event in decoder.feed(chunk):
                    checked = check(event)
                    if checked is not None:
                        yield checked
        except httpx.TransportError as error:
            raise stream_failure(error) from error
        finally:
            await self.response.aclose()

import json
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport import Event, StreamError
from modelport.events import EventDecoder, check


def decode(*chunks: bytes) -> list[Event]:
    decoder = EventDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def test_fields() -> None:
    stream = b": comment\nevent: delta\nid: 7\ndata: one\ndata:two\nretry: 5\nother\n\ndata: three\n\n"
    assert decode(stream) == [Event("one\ntwo", "delta", "7"), Event("three", "message", "7")]


def test_an_event_without_data_is_none() -> None:
    assert decode(b"event: ping\n\ndata\n\n") == [Event("")]


def test_an_unfinished_event_is_dropped() -> None:
    assert decode(b"data: a\n\ndata: b\n") == [Event("a")]


def test_a_byte_order_mark_is_skipped() -> None:
    assert decode(b"\xef\xbb\xbfdata: a\n\n") == [Event("a")]


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=5), max_size=5),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.data(),
)
def test_cutting_the_bytes_anywhere_changes_nothing(texts: list[str], end: str, data: st.DataObject) -> None:
    stream = "".join(f"data: {text}{end}{end}" for text in texts).encode() + b":\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    edges = [0, *cuts, len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    assert [event.data for event in decode(*chunks)] == texts


def test_the_end_mark_is_not_handed_on() -> None:
    assert check(Event("[DONE]")) is None


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Event('{"error": {"message": "overloaded"}}', "error"), "overloaded"),
        (Event('{"error": {"message": "bad"}}'), "bad"),
        (Event("plain", "error"), "plain"),
        (Event("{}", "error"), "the stream ended with an error"),
    ],
)
def test_error_events_raise(event: Event, message: str) -> None:
    with pytest.raises(StreamError, match=message):
        check(event)


@pytest.mark.parametrize("data", ['{"error": null, "choices": []}', 'the word "error" alone', '["error"]'])
def test_events_that_only_speak_of_errors_pass(data: str) -> None:
    assert check(Event(data)) == Event(data)


def test_json() -> None:
    assert Event('{"a": 1}').json() == {"a": 1}
    with pytest.raises(json.JSONDecodeError):
        Event("x").json()


def test_a_reply_that_is_no_stream_is_one_event() -> None:
    from modelport import EventStream

    response = httpx.Response(200, headers={"content-type": "application/json"}, content=b'{"a":1}')
    assert list(EventStream(response)) == [Event('{"a":1}')]

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport_gateway.parse.framing import (
    LAST_CHUNK,
    MAX_FRAMING_BYTES,
    NO_BODY,
    BodyUntilClose,
    ChunkedBody,
    CountedBody,
    FramingError,
    as_chunk,
)

# Line ends in and around chunks are where a wrong cut would show.
payloads = st.lists(
    st.binary(min_size=1, max_size=9) | st.sampled_from([b"\r\n\r\n", b"\r\n", b"\n\r\n\r", b"0\r\n\r\n"]), max_size=6
)
trailers = st.sampled_from([b"\r\n", b"X-T: 1\r\n\r\n", b"A: b\r\nC: d\r\n\r\n"])


@given(
    payloads,
    trailers,
    st.binary(max_size=12) | st.just(b"GET / HTTP/1.1\r\n\r\n"),
    st.lists(st.integers(1, 7), min_size=1, max_size=40),
)
def test_a_chunked_body_ends_where_it_ends_however_it_arrives(
    pieces: list[bytes], trailer: bytes, following: bytes, sizes: list[int]
) -> None:
    stream = b"".join(map(as_chunk, pieces)) + b"0\r\n" + trailer + following
    body = ChunkedBody()
    payload, position, step = b"", 0, 0
    while not body.done:
        size = sizes[step % len(sizes)]
        step += 1
        got, rest = body.feed(stream[position : position + size])
        payload += got
        position += size
    consumed = min(position, len(stream)) - len(rest)
    assert payload == b"".join(pieces)
    assert stream[consumed:] == following


@given(payloads, st.binary(max_size=12))
def test_in_one_read(pieces: list[bytes], following: bytes) -> None:
    body = ChunkedBody()
    assert body.feed(b"".join(map(as_chunk, pieces)) + LAST_CHUNK + following) == (b"".join(pieces), following)
    assert body.done


@pytest.mark.parametrize(
    "data",
    [
        b"x\r\n",
        b"2\nhi\r\n",
        b"2\r\nhiX",
        b"0x1\r\na\r\n",
        b"-1\r\n",
        b"1 \r\na\r\n",
        b"\r\n\r\n",
        b"1\r\na\r\n0\r\nX : y\r\n\r\n",
        b"10000000000000002\r\nhi\r\n",
        b"0\r\nContent-Length: 5\r\n\r\n",
    ],
)
def test_broken_chunks_are_refused(data: bytes) -> None:
    with pytest.raises(FramingError):
        ChunkedBody().feed(data)


def feed_all(body: ChunkedBody, reads: list[bytes]) -> None:
    for read in reads:
        body.feed(read)


@pytest.mark.parametrize("flood", [b"x: y\r\n", b"1;" + b"x" * 4094])
def test_endless_trailers_and_extensions_are_refused(flood: bytes) -> None:
    body = ChunkedBody()
    body.feed(b"0\r\n" if flood.startswith(b"x:") else b"1;")
    reads = [flood if flood.startswith(b"x:") else b"x" * 1000] * MAX_FRAMING_BYTES
    with pytest.raises(FramingError, match="64 KiB"):
        feed_all(body, reads)


@pytest.mark.parametrize("after", [b"1;" + b"x" * 70_000, b"0\r\n" + b"x: y\r\n" * 12_000])
def test_a_payload_in_the_same_read_does_not_hide_them(after: bytes) -> None:
    with pytest.raises(FramingError, match="64 KiB"):
        ChunkedBody().feed(as_chunk(b"payload") + after + b"\r\n")


def test_the_smallest_chunks_are_no_flood() -> None:
    body = ChunkedBody()
    for _ in range(10):
        assert body.feed(as_chunk(b"x") * 10_000) == (b"x" * 10_000, b"")
    assert body.feed(LAST_CHUNK) == (b"", b"")


@given(st.integers(0, 20), st.lists(st.binary(max_size=6), max_size=8))
def test_a_counted_body(length: int, reads: list[bytes]) -> None:
    body = CountedBody(length)
    payload, rest = b"", b""
    for read in reads:
        if body.done:
            rest += read
        else:
            got, more = body.feed(read)
            payload += got
            rest += more
    everything = b"".join(reads)
    assert (payload, rest) == (everything[:length], everything[length:])
    assert body.done == (len(everything) >= length)


def test_no_body_and_no_end() -> None:
    assert NO_BODY.feed(b"next") == (b"", b"next")
    assert BodyUntilClose().feed(b"all") == (b"all", b"")
    assert not BodyUntilClose().done

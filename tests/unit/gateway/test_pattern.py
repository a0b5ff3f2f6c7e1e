"""A head that is like the former one is not read again: whatever matches must mean what reading it would say."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelport_gateway.errors import GatewayError
from modelport_gateway.parse.head import RequestHead, parse_request_head
from modelport_gateway.parse.pattern import MAX_REMEMBERED, HeadPattern, pattern_of
from modelport_gateway.send.reply import ReplyHead, parse_reply_head

LINES = st.lists(
    st.sampled_from(
        [
            "Host: x",
            "Content-Length: 5",
            "content-length: 5",
            "Content-Length: 07",
            "CONTENT-LENGTH: 5",
            "Content-Length:5",
            "X-A: Content-Length: 5",
            "X-Content-Length: 5",
            "Transfer-Encoding: chunked",
            "Connection: close",
            "Authorization: Bearer one",
            "Authorization: Bearer two",
            "Expect: 100-continue",
        ]
    ),
    max_size=5,
)


def head_of(lines: list[str]) -> bytes:
    return "\r\n".join(["POST /x HTTP/1.1", *lines, "", ""]).encode()


def facts(head: RequestHead) -> dict[str, object]:
    return dict(vars(head)) | {"content_length": head.content_length, "all_lines": [], "lines": tuple(head.lines)}


def taught(head: bytes) -> tuple[HeadPattern, RequestHead]:
    pattern = pattern_of(head)
    assert pattern is not None
    return pattern, parse_request_head(head, 50)


@given(
    LINES, LINES, st.sampled_from(["1", "5", "12", "007", "99999999999999", "1 ", "+1", "0x1", "-1", "", "1,1", "½"])
)
@example(["Host: x", "Content-Length: 5"], ["Host: x", "Content-Length: 5"], "12")
@example(["Host: x", "content-length: 5"], ["Host: x", "content-length: 5"], "")
def test_what_matches_is_what_would_be_read(first: list[str], second: list[str], digits: str) -> None:
    try:
        former = parse_request_head(head_of(first), 50)
    except GatewayError:
        return  # only what was valid is remembered
    pattern = pattern_of(head_of(first))
    assert pattern is not None
    changed = [re.sub(r"(ontent-[Ll]ength:) ?\d+$", rf"\1 {digits}", line) for line in second]
    for lines in (second, changed, first):
        data = head_of(lines) + b"body\r\n\r\n"
        found = pattern.match(data)
        if found is None:
            assert lines is not first
            continue
        end, length = found
        assert data[:end] == head_of(lines)
        assert facts(former.with_length(length)) == facts(parse_request_head(data[:end], 50))


@given(st.integers(0, 10**14), st.integers(0, 10**14))
def test_another_length_matches_and_is_read(first: int, second: int) -> None:
    pattern, former = taught(head_of(["Host: x", f"Content-Length: {first}", "A: b"]))
    data = head_of(["Host: x", f"Content-Length: {second}", "A: b"])
    assert pattern.match(data) == (len(data), str(second).encode())
    assert former.with_length(b"%d" % second).content_length == second
    assert former.content_length == first


@pytest.mark.parametrize("cut", range(1, 50))
def test_a_head_that_is_not_complete_does_not_match(cut: int) -> None:
    data = head_of(["Host: x", "Content-Length: 12345"])
    pattern, _ = taught(data)
    assert pattern.match(data[:-cut]) is None
    assert pattern.match(data) is not None


def test_one_byte_of_difference_does_not_match() -> None:
    data = head_of(["Host: x", "Content-Length: 12345", "Authorization: Bearer key"])
    pattern, _ = taught(data)
    gap = data.index(b"12345")
    for at in range(len(data)):
        for byte in (data[at] ^ 1, data[at] ^ 0x20, 0x0D):
            if byte != data[at] and not (gap <= at < gap + 5 and 0x30 <= byte <= 0x39):
                assert pattern.match(data[:at] + bytes((byte,)) + data[at + 1 :]) is None


def test_a_long_head_is_not_kept() -> None:
    longest = head_of(["A: " + "a" * (MAX_REMEMBERED - len(head_of(["A: "])))])
    assert pattern_of(longest) is not None
    assert pattern_of(longest[:-4] + b"a\r\n\r\n") is None


REPLY_LINES = st.lists(
    st.sampled_from(
        [
            "Date: today",
            "Content-Length: 5",
            "content-length: 5",
            "CONTENT-LENGTH: 5",
            "Content-Length:5",
            "Content-Length: 00005",
            "X-A: Content-Length: 5",
            "Set-Cookie: a=b",
            "Connection: close",
            "Connection: X-A, Content-Length, Date",
            "Keep-Alive: timeout=9",
            "Content-Type: text/event-stream",
            "Transfer-Encoding: chunked",
            "Location: /x",
        ]
    ),
    max_size=5,
)


def reply_of(lines: list[str]) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode()


def reply_facts(reply: ReplyHead) -> dict[str, object]:
    found = vars(reply) | {"content_length": reply.content_length}
    return {name: value for name, value in found.items() if name not in ("_around_length", "_digits")}


@given(REPLY_LINES, REPLY_LINES, st.sampled_from(["1", "007", "99999999999999", "1 ", "+1", "", "1,1"]))
def test_a_reply_that_matches_is_what_would_be_read(first: list[str], second: list[str], digits: str) -> None:
    try:
        former = parse_reply_head(reply_of(first))
    except GatewayError:
        return
    pattern = pattern_of(reply_of(first))
    assert pattern is not None
    changed = [re.sub(r"(ontent-[Ll]ength:) ?\d+$", rf"\1 {digits}", line) for line in first]
    for lines in (second, changed, first):
        found = pattern.match(reply_of(lines) + b"body\r\n\r\n")
        if found is None:
            assert lines is not first
            continue
        assert found[0] == len(reply_of(lines))
        again = former.with_length(found[1])
        assert reply_facts(again) == reply_facts(parse_reply_head(reply_of(lines)))
        assert again.with_length(found[1]) is again
        if found[1]:
            assert reply_facts(again.with_length(b"31")) == reply_facts(former.with_length(b"31"))

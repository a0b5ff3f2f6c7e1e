import json

import pytest

from modelport_bench import sse
from modelport_bench.workload import ALL_CASES, MAIN, MODEL, QUICK_CASES, REPLIES, Case


def _split(request: bytes) -> tuple[str, list[str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    line, *headers = head.decode().split("\r\n")
    return line, headers, body


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_a_request_is_whole(case: Case) -> None:
    line, headers, body = _split(case.request("h:1", "/p"))

    assert line == "POST /p HTTP/1.1"
    assert headers[0] == "Host: h:1"
    assert headers[-1] == f"Content-Length: {len(body)}"
    assert len(headers) == 1 + (3 if case.few_headers else 16)
    assert json.loads(body)["model"] == MODEL


def test_cases_have_names_of_their_own() -> None:
    assert len({case.name for case in ALL_CASES}) == len(ALL_CASES)
    assert {*QUICK_CASES} <= {*ALL_CASES}


def test_a_header_of_a_target_takes_the_place_of_the_usual_one() -> None:
    _, headers, _ = _split(MAIN.request("h:1", "/p", (("authorization", "Bearer other"), ("x-more", "1"))))

    assert [header for header in headers if header.startswith("authorization")] == ["authorization: Bearer other"]
    assert "x-more: 1" in headers


@pytest.mark.parametrize(("name", "size"), [("0.3 KB", 300), ("10 KB", 10_000), ("1 MB", 1_000_000)])
def test_replies_have_the_size_they_are_named_after(name: str, size: int) -> None:
    assert len(REPLIES[name]) == size
    assert json.loads(REPLIES[name])["object"] == "chat.completion"


def test_a_request_for_a_stream_is_the_usual_one_elsewhere() -> None:
    line, headers, body = _split(sse.request("h:2", "/s", 10, MAIN.request("h:1", "/p")))

    assert line == f"POST /s?events=10&every_ms={sse.EVERY_MS} HTTP/1.1"
    assert headers[0] == "Host: h:2"
    assert (headers[1:], body) == (_split(MAIN.request("h:1", "/p"))[1][1:], MAIN.body)

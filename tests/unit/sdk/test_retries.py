from datetime import UTC, datetime

import httpx
import pytest

from modelport import retries

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("method", "status", "headers", "again"),
    [
        ("POST", 408, {}, True),
        ("POST", 409, {}, True),
        ("POST", 409, {"x-should-retry": "false"}, False),
        ("POST", 429, {}, True),
        ("POST", 503, {}, True),
        ("POST", 500, {}, False),
        ("POST", 502, {}, False),
        ("POST", 502, {"x-should-retry": "true"}, True),
        ("PATCH", 504, {}, False),
        ("GET", 502, {}, True),
        ("PUT", 500, {}, True),
        ("DELETE", 504, {}, True),
        ("GET", 503, {"x-should-retry": "false"}, False),
        ("GET", 404, {}, False),
        ("GET", 400, {}, False),
        ("GET", 424, {}, False),
    ],
)
def test_statuses(method: str, status: int, headers: dict[str, str], again: bool) -> None:
    assert retries.retries_status(method, status, headers) is again


@pytest.mark.parametrize(
    ("method", "error", "again"),
    [
        ("POST", httpx.ConnectError("refused"), True),
        ("POST", httpx.ConnectTimeout("slow"), True),
        ("POST", httpx.ReadError("reset"), False),
        ("POST", httpx.RemoteProtocolError("cut"), False),
        ("GET", httpx.RemoteProtocolError("cut"), True),
        ("GET", httpx.ReadTimeout("slow"), False),
        ("GET", httpx.UnsupportedProtocol("ftp"), False),
        ("GET", httpx.LocalProtocolError("illegal header"), False),
    ],
)
def test_failures(method: str, error: httpx.TransportError, again: bool) -> None:
    assert retries.retries_failure(method, error) is again


def test_pauses_double_and_end() -> None:
    pauses = [retries.pause_before(attempt, {}, now=NOW, jitter=0) for attempt in range(1, 9)]
    assert pauses == [0.25, 0.5, 1, 2, 4, 8, 8, 8]
    assert retries.pause_before(1, {}, now=NOW, jitter=1) == 0.1875


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        ("2", 2),
        ("0", 0),
        ("60", 60),
        ("61", None),
        ("Thu, 01 Jan 2026 12:00:05 GMT", 5),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0),
        ("soon", 0.25),
        ("-1", 0.25),
        ("²", 0.25),
    ],
)
def test_retry_after(header: str, pause: float | None) -> None:
    assert retries.pause_before(1, {"retry-after": header}, now=NOW, jitter=0) == pause

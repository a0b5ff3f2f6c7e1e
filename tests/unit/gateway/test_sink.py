"""The access log's sink: bounded, and never in the way."""

import os
from pathlib import Path

import pytest

from modelport_gateway.account.sink import MAX_WAITING, Sink
from modelport_testing.polling import eventually_sync


def test_records_arrive_in_order(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    sink = Sink(path)
    for number in range(MAX_WAITING // 2):
        sink.write(b"%d\n" % number)
    sink.close()
    assert path.read_bytes() == b"".join(b"%d\n" % number for number in range(MAX_WAITING // 2))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    sink = Sink(path, max_file_bytes=10)
    sink.write(b"0123456789\n")
    eventually_sync(lambda: (tmp_path / "access.log.1").exists(), 5)
    sink.write(b"next\n")
    sink.close()
    assert (tmp_path / "access.log.1").read_bytes() == b"0123456789\n"
    assert path.read_bytes() == b"next\n"


def test_a_reader_that_stalls_costs_records_not_requests(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = Sink(path)
    try:
        with pytest.raises(BlockingIOError):
            _write_for_ever(sink)
    finally:
        os.close(reader)  # the writer's next write fails, so it ends
        sink.close()


def _write_for_ever(sink: Sink) -> None:
    for _ in range(MAX_WAITING * 4):
        sink.write(b"x" * 65536)

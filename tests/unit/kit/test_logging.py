"""Logs: one line a record, in either form, and never a local variable (a secret may be among them)."""

import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from modelport_kit.logging import configure_logging


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def fail(value: str) -> None:
    held = f"{value}!"
    raise RuntimeError(f"{len(held)} characters are too many")


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_tracebacks_show_no_values(log_format: Literal["console", "json"], capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("test", "info", log_format)
    key = "".join(["hun", "ter", "2"])
    try:
        fail(key)
    except RuntimeError as error:
        structlog.get_logger("one").error("unhandled", exc_info=error)
        logging.getLogger("two").exception("also unhandled")
    printed = capsys.readouterr().err
    assert printed.count("8 characters are too many") >= 2
    assert "fail" in printed
    assert key not in printed


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("test", "warning", "json")
    structlog.get_logger("one").warning("first\nline", number=1)
    logging.getLogger("two").warning("of %s", "the library")
    logging.getLogger("two").info("not shown")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["event"], first["number"], first["service"], first["level"]) == ("first\nline", 1, "test", "warning")
    assert (second["event"], second["logger"]) == ("of the library", "two")


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_the_servers_own_lines_are_said_once(
    log_format: Literal["console", "json"], capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("test", "info", log_format)
    coloured = {"color_message": "Started server process [\x1b[36m%d\x1b[0m]"}
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7, extra=coloured)
    printed = capsys.readouterr().err
    assert "Started server process [7]" in printed
    assert "color_message" not in printed
    assert "\x1b" not in printed
    assert "u001b" not in printed

"""Logs: one line a record, in either form; no local variable, and no secret, wherever in a record it is."""

import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from modelport_kit.logging import configure_logging
from modelport_kit.redaction import held


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    yield
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
    logging.captureWarnings(False)
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


SECRET = "Zq7" + "xT2mKf9wPb4Lr8"
Format = Literal["console", "json"]


def raise_chained() -> None:
    try:
        try:
            raise ValueError(f"password={SECRET}")
        except ValueError as error:
            raise KeyError(f"sk-{SECRET}") from error
    except KeyError:
        raise RuntimeError(f"redis://u:{SECRET}@h went away")  # noqa: B904 (the other kind of chain)


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_no_part_of_a_record_shows_a_secret(log_format: Format, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("test", "debug", log_format)
    bearer = f"Bearer {SECRET}"
    structlog.get_logger("one").error(f"sent {bearer}", token=SECRET, nested={"list": [{"api_key": SECRET}]})
    structlog.get_logger("one").error("sent %s", bearer)
    structlog.contextvars.bind_contextvars(request_id=f"sk-{SECRET}")
    structlog.get_logger("one").error("in a context", stack_info=True)
    structlog.contextvars.unbind_contextvars("request_id")
    for name in ("uvicorn.error", "sqlalchemy.engine", "nats", "httpx", "anything"):
        logging.getLogger(name).error("sent %s to %s", bearer, "there", extra={"cookie": SECRET})
        logging.getLogger(name).error("%(password)s", {"password": f"sk-{SECRET}"})
    try:
        raise_chained()
    except RuntimeError:
        structlog.get_logger("one").exception("failed")
        logging.getLogger("two").exception("failed")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"sk-{SECRET} is deprecated", stacklevel=1)
    printed = capsys.readouterr().err
    assert SECRET not in printed
    assert printed.count("[redacted]") >= 20
    # What else there was is still there, tracebacks included.
    for shown in ("ValueError", "KeyError", "RuntimeError", "raise_chained", "went away", "is deprecated", "in a con"):
        assert shown in printed
    assert log_format == "console" or all(json.loads(line) for line in printed.splitlines())


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_what_this_process_holds_is_known_by_its_value(log_format: Format, capsys: pytest.CaptureFixture[str]) -> None:
    class Holder:
        pass

    holder = Holder()
    held.hold(holder, SECRET)
    configure_logging("test", "info", log_format)
    logging.getLogger("one").error("it said %s", SECRET)
    assert SECRET not in capsys.readouterr().err
    del holder
    logging.getLogger("one").error("it said %s", SECRET)
    assert SECRET in capsys.readouterr().err


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_record_that_cannot_be_made_shows_none_of_it(log_format: Format, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("test", "info", log_format)
    logging.getLogger("one").error("%d keys", f"hunter2-{SECRET}")
    printed = capsys.readouterr().err
    assert printed == "a record of one cannot be written: TypeError\n"


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("log_format", ["console", "json"])
def test_errors_that_nobody_catches_are_logged_alike(log_format: Format, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("test", "info", log_format)
    # The hooks themselves: a thread's end would reach pytest's.
    try:
        raise_chained()
    except RuntimeError as error:
        sys.excepthook(RuntimeError, error, error.__traceback__)
        threading.excepthook(threading.ExceptHookArgs((RuntimeError, error, error.__traceback__, None)))

    class Broken:
        def __del__(self) -> None:
            raise_chained()

    hook = sys.unraisablehook
    assert hook.__module__ == "modelport_kit.logging"
    Broken()
    printed = capsys.readouterr().err
    assert SECRET not in printed
    assert printed.count("redis://[redacted]@h went away") >= 3
    assert "the process ends of this error" in printed
    assert "thread ? ended of this error" in printed
    assert "raise_chained" in printed

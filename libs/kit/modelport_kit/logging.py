"""One logging set-up for all services: structlog in front, the standard library's records rendered alike.

Whatever becomes a line passes `redact_event` last: messages, arguments, fields, exceptions, warnings, and what a thread
or the whole process ends of.
"""

import logging
import sys
import threading
from types import TracebackType
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from modelport_kit.redaction import redact_event


def _drop_color_message(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """uvicorn hands over each of its messages a second time, with a terminal's escape codes in it."""
    event.pop("color_message", None)
    return event


def configure_logging(service: str, level: str = "info", log_format: Literal["console", "json"] = "console") -> None:
    """Send structlog and the standard library's loggers to stderr, as text or as one JSON object a line."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
        _drop_color_message,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # tracebacks without local variables, in either form: a secret may be among them
    tracebacks: Processor
    renderer: Processor
    if log_format == "json":
        plain = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        tracebacks, renderer = structlog.processors.ExceptionRenderer(plain), structlog.processors.JSONRenderer()
    else:
        tracebacks = structlog.processors.format_exc_info
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler = _Handler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[meta, tracebacks, redact_event, renderer]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("httpx", "httpcore", "aiosqlite", "alembic", "asyncio", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    structlog.contextvars.bind_contextvars(service=service)
    logging.captureWarnings(True)
    sys.excepthook = _log_end
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_thread_end


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (a name of the standard library)
        # its own would print the record's arguments as they are
        error = sys.exc_info()[1]
        try:
            self.stream.write(f"a record of {record.name} cannot be written: {type(error).__name__}\n")
        except (OSError, ValueError):
            return  # nor can anything else be


def _log_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        logging.getLogger(__name__).critical("the process ends of this error", exc_info=(kind, error, trace))


def _log_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    error = unraisable.exc_value
    logging.getLogger(__name__).error(
        "%s", unraisable.err_msg or "an error that could not be raised", exc_info=error or True
    )


def _log_thread_end(ended: "threading.ExceptHookArgs") -> None:
    if ended.exc_value is not None and not issubclass(ended.exc_type, SystemExit):
        name = ended.thread.name if ended.thread is not None else "?"
        logging.getLogger(__name__).error("thread %s ended of this error", name, exc_info=ended.exc_value)

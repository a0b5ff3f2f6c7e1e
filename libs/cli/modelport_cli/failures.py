"""Errors as users see them: one line that names what was wrong, one that says what to do, an exit code."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import typer

from modelport_cli.session import Session
from modelport_cli.text import note

if TYPE_CHECKING:
    from modelport.errors import StatusError

FAILED = 1
WRONG_USAGE = 2


class UsageError(Exception):
    """The command was called in a way that cannot work."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class CommandError(Exception):
    """The command could not do its work."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@contextmanager
def reported(session: Session) -> Iterator[None]:
    """Turn every error into lines on stderr and an exit code; never a traceback, but with --verbose."""
    try:
        yield
    except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
        raise
    except Exception as error:
        message, hint, code = describe(error, session)
        if session.flags.verbose:
            traceback.print_exc()
        # What cannot be written is said at the end of the program.
        with suppress(OSError):
            sys.stdout.flush()
        note(f"Error: {message}")
        if hint:
            note(f"Hint: {hint}")
        raise typer.Exit(code) from None


def describe(error: Exception, session: Session) -> tuple[str, str | None, int]:
    """Return message, hint and exit code for an error."""
    if isinstance(error, UsageError):
        return str(error), error.hint, WRONG_USAGE
    if isinstance(error, CommandError):
        return str(error), error.hint, FAILED
    # Loaded already wherever such an error can come from.
    from modelport import errors

    if isinstance(error, errors.ConfigError | errors.ArgumentError):
        return error.message, error.hint, WRONG_USAGE
    if isinstance(error, errors.StatusError):
        return _status_message(error), _status_hint(error, session), FAILED
    if isinstance(error, errors.RequestTimedOutError):
        return error.message, "See `nemo status`; a provider may also just be slow", FAILED
    if isinstance(error, errors.ConnectionFailedError):
        hint = error.hint and (
            "Start one with `nemo services run`, or name another with --base-url or NMP_BASE_URL "
            f"(this address is from {session.connection.origin})"
        )
        return error.message, hint, FAILED
    if isinstance(error, errors.InvalidReplyError):
        hint = f"Is this the platform's address? It is from {session.connection.origin}"
        return error.message, hint, FAILED
    if isinstance(error, errors.ModelportError):
        return error.message, error.hint, FAILED
    if isinstance(error, OSError):
        return str(error), None, FAILED
    # What a parser or a codec did not take stands in the text of its error, and may be a secret.
    quotes = isinstance(error, ValueError)
    text = type(error).__name__ if quotes or not str(error) else f"{type(error).__name__}: {error}"
    return f"unexpected: {text}", "This is a bug; --verbose shows where", FAILED


def _status_message(error: "StatusError") -> str:
    asked_for = f", request {error.request_id}" if error.request_id and error.status_code >= 500 else ""
    return f"{error.message} (HTTP {error.status_code}{asked_for})"


def _status_hint(error: "StatusError", session: Session) -> str | None:
    if error.origin == "upstream":
        return _UPSTREAM_HINTS.get(error.status_code, "This is the provider's own answer")
    if error.status_code == 409:
        if "already exists" not in error.message:
            return None
        advice = [] if "choose another name" in error.message else ["choose another name"]
        advice += [f"change what exists with `{session.change_command}`"] if session.change_command else []
        text = ", or ".join(advice)
        return text[:1].upper() + text[1:] or None
    if error.code in _TARGET_CODES:
        return "`nemo inference virtual-models get` says what its targets lack, `nemo inference providers list` why"
    return _HINTS.get(error.status_code)


_HINTS = {
    401: "Set a valid token with `nemo config set --access-token -` or NMP_ACCESS_TOKEN",
    403: "This is not allowed to you, or to anybody: built-in things are read-only",
    404: "Check the name and the --workspace; the list command shows what there is",
    424: "Check the provider's secret: `nemo secrets list`",
    429: "Try again later",
    503: "`nemo status` shows which services are not ready",
}
_TARGET_CODES = {"no_provider", "no_target"}
_UPSTREAM_HINTS = {
    401: "The provider refused its API key: `nemo inference providers get` names the secret to update",
    403: "The provider does not allow this to its API key",
    404: "The provider has no such model or path",
    429: "The provider limits its API key; try again later",
}

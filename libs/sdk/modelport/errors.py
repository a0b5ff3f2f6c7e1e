"""What can go wrong, as types.

Every error is a `ModelportError`. A reply with an error status is a `StatusError` of its own class; everything
that kept a reply from arriving is a `ConnectionFailedError`. No error's text holds a secret or a request body.
"""

from typing import TYPE_CHECKING, Any

from modelport_contracts.errors import ERROR_ORIGIN_HEADER, REQUEST_ID_HEADER

if TYPE_CHECKING:
    import httpx


class ModelportError(Exception):
    """Base of all errors. `hint` says what to do about it, where that is known."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class ConfigError(ModelportError):
    """The configuration file, an environment variable or an argument of the client cannot be used."""


class ArgumentError(ModelportError, ValueError):
    """An argument of a method cannot be used. The message is of the SDK's own words and never holds the argument."""


class MissingDependencyError(ModelportError):
    """An optional package is not installed."""


class ConnectionFailedError(ModelportError):
    """No reply, or not all of it: connection refused, name unknown, connection cut."""


class RequestTimedOutError(ConnectionFailedError):
    """The reply did not come within the client's timeout."""


class InvalidReplyError(ModelportError):
    """Something answered, but not as the platform does. `response` is what came."""

    def __init__(self, message: str, response: "httpx.Response", *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.response = response


class StreamError(ModelportError):
    """A stream carried an error event. `body` is its data: parsed JSON, else text."""

    def __init__(self, message: str, body: Any) -> None:
        super().__init__(message)
        self.body = body


class WaitTimeoutError(ModelportError, TimeoutError):
    """What was waited for did not happen in time. `status` and `status_message` are the provider's last ones."""

    def __init__(self, message: str, *, status: str | None = None, status_message: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.status_message = status_message


class StatusError(ModelportError):
    """A reply with an error status.

    `body` is the parsed JSON (text where it is none), `code` the machine-readable cause, `request_id` what to
    look for in the platform's logs, `origin` "upstream" where it is the provider's answer and "gateway" where it is
    the gateway's own (docs/wire.md, 2 and 3.1).
    """

    def __init__(self, response: "httpx.Response") -> None:
        self.response = response
        self.status_code = response.status_code
        self.body = _body_of(response)
        self.request_id = response.headers.get(REQUEST_ID_HEADER) or response.headers.get("x-request-id")
        self.origin: str | None = response.headers.get(ERROR_ORIGIN_HEADER)
        error = self.body.get("error") if isinstance(self.body, dict) else None
        self.code: str | None = error.get("code") if isinstance(error, dict) else None
        super().__init__(message_of(self.body) or f"HTTP status {self.status_code} {response.reason_phrase}")

    def __str__(self) -> str:
        return f"{self.message} (HTTP {self.status_code})"


class BadRequestError(StatusError):
    """400: the request makes no sense as it is."""


class AuthenticationError(StatusError):
    """401: no valid credential."""


class PermissionDeniedError(StatusError):
    """403: a valid credential that may not do this."""


class NotFoundError(StatusError):
    """404: there is no such thing."""


class ConflictError(StatusError):
    """409: it exists already, or is in use."""


class UnprocessableError(StatusError):
    """422: a field breaks a rule; the message names it."""


class FailedDependencyError(StatusError):
    """424: the provider's secret is missing or unusable."""


class RateLimitError(StatusError):
    """429: too many requests."""


class ServerError(StatusError):
    """500 and above: the platform, or the provider behind it, failed."""


_CLASSES: dict[int, type[StatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableError,
    424: FailedDependencyError,
    429: RateLimitError,
}


def status_error(response: "httpx.Response") -> StatusError:
    """Make the error for a reply whose status is not 2xx; its body has been read."""
    default = ServerError if response.status_code >= 500 else StatusError
    return _CLASSES.get(response.status_code, default)(response)


def message_of(body: Any) -> str | None:
    """Find the text for people in an error body of any dialect: ours, OpenAI's, Anthropic's, FastAPI's."""
    if isinstance(body, str):
        return body.strip()[:500] or None
    if not isinstance(body, dict):
        return None
    error = body.get("error")
    detail = body.get("detail")
    candidates = [_validation_text(detail), error.get("message") if isinstance(error, dict) else error]
    candidates += [detail, body.get("message")]
    return next((text for text in candidates if isinstance(text, str) and text), None)


def _validation_text(detail: Any) -> str | None:
    """Turn a list of `{type, loc, msg}` into one line that names each field."""
    if not isinstance(detail, list):
        return None
    lines = []
    for problem in detail:
        if not isinstance(problem, dict) or "msg" not in problem:
            return None
        place = ".".join(str(part) for part in problem.get("loc", ()) if part != "body")
        text = str(problem["msg"]).removeprefix("Value error, ")
        # Some rules begin with the field's name themselves.
        lines.append(f"{place}: {text}" if place and not text.startswith(place) else text)
    return "; ".join(lines) or None


def _body_of(response: "httpx.Response") -> Any:
    try:
        return response.json()
    except ValueError:
        text = response.text
        # A proxy's error page tells its reader nothing; the status does.
        return "" if text.lstrip().startswith("<") else text

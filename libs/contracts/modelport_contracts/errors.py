"""The one error body every dialect can read, and the codes in it (docs/wire.md, 2)."""

from typing import Any, Literal

from pydantic import BaseModel

ERROR_ORIGIN_HEADER = "x-modelport-error-origin"
REQUEST_ID_HEADER = "x-modelport-request-id"
REQUEST_ID_PATTERN = r"[A-Za-z0-9._~:+/=@\-]{1,128}"
"""A client's request id that is harmless in headers and logs; any other is replaced."""
CLIENT_ADDRESS_HEADER = "x-modelport-client-address"
"""Set by the front door, on what it passes on: whom it serves."""
REVISION_HEADER = "x-modelport-revision"
MIN_REVISION_HEADER = "x-modelport-min-revision"
SERVICE_TOKEN_HEADER = "x-modelport-service-token"  # noqa: S105 (a header's name)
SHOULD_RETRY_HEADER = "x-should-retry"


class InvalidMember(BaseModel):
    """One member of the input that breaks a rule."""

    type: str
    loc: list[str | int]
    msg: str


class ErrorInfo(BaseModel):
    """What OpenAI's and Anthropic's clients read."""

    type: str
    message: str
    code: str
    """Stable; for programs."""
    param: None = None


class Error(BaseModel):
    """The body of every error that Modelport itself answers."""

    type: Literal["error"] = "error"
    error: ErrorInfo
    detail: str | list[InvalidMember]
    """The message; for invalid input one entry a member."""


_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    424: "failed_dependency_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def error_type(status: int) -> str:
    """Return the `type` that OpenAI's and Anthropic's clients know for a status."""
    return _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")


def error_body(status: int, code: str, message: str, detail: Any = None) -> dict[str, Any]:
    """Build the error body. `detail` is the message unless given (a list for validation errors)."""
    return {
        "type": "error",
        "error": {"type": error_type(status), "message": message, "code": code, "param": None},
        "detail": message if detail is None else detail,
    }

"""Errors that reach a user, raised anywhere in a service and turned into HTTP in one place (http.py)."""

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """A request that cannot be served. The message names what was wrong and what to do."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        detail: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.detail = detail
        self.headers = dict(headers or {})


class BadRequestError(ApiError):
    """400: understood, but not acceptable."""

    def __init__(self, message: str, code: str = "bad_request") -> None:
        super().__init__(400, code, message)


class ForbiddenError(ApiError):
    """403."""

    def __init__(self, message: str, code: str = "forbidden") -> None:
        super().__init__(403, code, message)


class NotFoundError(ApiError):
    """404."""

    def __init__(self, what: str, name: str, code: str = "not_found") -> None:
        super().__init__(404, code, f"{what} {name!r} does not exist")


class ConflictError(ApiError):
    """409. Retrying cannot help, so the header tells clients not to (docs/wire.md, 1)."""

    def __init__(self, message: str, code: str = "conflict") -> None:
        super().__init__(409, code, message, headers={"x-should-retry": "false"})


class AlreadyExistsError(ConflictError):
    """409: the name is taken. `change` is the method that changes what has it."""

    def __init__(self, what: str, name: str, change: str) -> None:
        super().__init__(f"{what} {name} already exists; change it with {change}, or choose another name")


class UnprocessableError(ApiError):
    """422: one member of the input breaks a rule. `where` is its path, as validation errors have it."""

    def __init__(self, where: tuple[str | int, ...], message: str, kind: str = "value_error") -> None:
        text = f"{'.'.join(str(part) for part in where)}: {message}"
        super().__init__(422, "invalid_input", text, detail=[{"type": kind, "loc": list(where), "msg": message}])


class AwayError(ApiError):
    """503: a part that is needed for this cannot be reached right now."""

    def __init__(self, message: str, code: str = "dependency_away") -> None:
        super().__init__(503, code, message, headers={"retry-after": "1"})

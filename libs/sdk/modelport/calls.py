"""Requests as values: what a resource's method asks for, before anything is sent.

A method builds a `Call`; the synchronous and the asynchronous client run the same calls. So every method,
its parameters and its rules are written once.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Generic, Literal, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from modelport.errors import InvalidReplyError

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

NOT_THE_PLATFORM = "Is this the platform's address? Check base_url and any proxy in between"


class Unset(Enum):
    """The type of UNSET."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""Stands for a member that a PATCH does not name, where None would empty it."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request and how to read its reply."""

    method: str
    path: str
    """From the root of the platform, encoded, query included."""
    parse: Callable[[httpx.Response], T] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    """Never in a repr: it may hold a secret."""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float | None = None
    """Seconds for each phase; None takes the client's."""
    max_retries: int | None = None
    """None takes the client's."""
    existing: "Call[T] | None" = None
    """What `exist_ok` answers with when the resource exists: asked for after a 409."""


def parse_as(model: type[M]) -> Callable[[httpx.Response], M]:
    """Read a reply as a resource. The reader raises InvalidReplyError."""

    def parse(response: httpx.Response) -> M:
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            raise not_as_expected(response) from error

    return parse


def parse_nothing(response: httpx.Response) -> None:
    """Read a reply whose body says nothing."""


def not_as_expected(response: httpx.Response) -> InvalidReplyError:
    """Make the error for a reply of another shape than the platform's."""
    kind = response.headers.get("content-type", "no content type")
    return InvalidReplyError(
        f"the reply to {response.request.method} {response.request.url.copy_with(query=None)} is not what the "
        f"platform sends ({kind})",
        response,
        hint=NOT_THE_PLATFORM,
    )


def json_body(members: Mapping[str, Any], *, drop: Literal["none", "unset"] = "none") -> bytes:
    """Encode a request body: without None (POST, PUT), or without UNSET (PATCH, where None empties)."""
    dropped = None if drop == "none" else UNSET
    kept = {name: plain(value) for name, value in members.items() if value is not dropped}
    return json.dumps(kept, ensure_ascii=False).encode()


def plain(value: Any) -> Any:
    """Turn resources within a value into what JSON has; members that were not set stay out."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value


Filter = str | Mapping[str, Any]
"""A filter as text (`status:"READY"`), or as its JSON form (`{"status": "READY"}`); docs/wire.md, 3.1."""


def list_query(
    *,
    page: int | None = None,
    page_size: int | None = None,
    sort: str | None = None,
    filter: Filter | None = None,  # noqa: A002 (the parameter's name on the wire)
    **flags: bool | None,
) -> list[tuple[str, str]]:
    """Build the query of a list."""
    if filter is not None and not isinstance(filter, str):
        filter = json.dumps(plain(filter), ensure_ascii=False)  # noqa: A001
    query: dict[str, Any] = {"page": page, "page_size": page_size, "sort": sort, "filter": filter}
    query |= {name: str(value).lower() for name, value in flags.items() if value is not None}
    return [(name, str(value)) for name, value in query.items() if value is not None]

"""Which part of a list a client asks for (docs/wire.md, 3.1); database/query.py turns it into SQL."""

from dataclasses import dataclass

from modelport_contracts.pages import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from modelport_kit.errors import ApiError, UnprocessableError
from modelport_kit.filters import Filter


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which part of a list is wanted, in which order."""

    page: int = 1
    page_size: int = DEFAULT_PAGE_SIZE
    sort: str = "-created_at"
    filter: Filter | None = None

    def __post_init__(self) -> None:
        if self.page < 1:
            raise UnprocessableError(("query", "page"), "pages count from 1")
        if not 1 <= self.page_size <= MAX_PAGE_SIZE:
            raise UnprocessableError(("query", "page_size"), f"must be 1 to {MAX_PAGE_SIZE}")


class InvalidFilterError(ApiError):
    """400: the filter names a field that is not there, or compares it with what it cannot hold."""

    def __init__(self, message: str) -> None:
        super().__init__(400, "invalid_filter", f"filter: {message}")

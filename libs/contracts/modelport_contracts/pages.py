"""The list envelope (docs/wire.md, 3.1)."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel

Item = TypeVar("Item")

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000


class Pagination(BaseModel):
    """Where a page stands in its list; pages count from 1."""

    page: int
    page_size: int
    current_page_size: int
    total_pages: int
    total_results: int


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    data: list[Item]
    pagination: Pagination
    sort: str | None = None
    filter: dict[str, Any] | None = None


def pagination(page: int, page_size: int, on_page: int, total: int) -> Pagination:
    """Count the pages of a list of `total` results."""
    return Pagination(
        page=page,
        page_size=page_size,
        current_page_size=on_page,
        total_pages=-(-total // page_size),
        total_results=total,
    )

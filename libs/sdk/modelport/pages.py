"""Lists that fetch their further pages by themselves."""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import Any, Generic, Protocol, TypeVar

from modelport.calls import Call, parse_as
from modelport.flows import Flow, Policy
from modelport_contracts.pages import Page, Pagination

T = TypeVar("T")


class ListCall(Protocol[T]):
    """Builds the call of one page; None is the page that the user asked for."""

    def __call__(self, number: int | None, /) -> Call[Page[T]]: ...


class PageFlow(Protocol[T]):
    """The same where a page takes several calls."""

    def __call__(self, number: int | None, policy: Policy, /) -> Flow[Page[T]]: ...


def page_of(item: type[T]) -> Callable[[Any], Page[T]]:
    """Return the reader of one page of such items."""
    model: Any = Page[item]  # type: ignore[valid-type]
    return parse_as(model)


class _PageContent(Generic[T]):
    """One page as it came."""

    def __init__(self, page: Page[T]) -> None:
        self.page = page

    @property
    def data(self) -> list[T]:
        """The items of this page."""
        return self.page.data

    @property
    def pagination(self) -> Pagination:
        """Where this page stands in the list."""
        return self.page.pagination

    @property
    def has_next_page(self) -> bool:
        """Whether there is more."""
        return bool(self.page.data) and self.page.pagination.page < self.page.pagination.total_pages

    def __repr__(self) -> str:
        at = self.pagination
        return f"<{type(self).__name__} {at.page} of {at.total_pages}, {len(self.data)} items>"


class SyncPage(_PageContent[T]):
    """A page of a list. Iterating goes on through all further pages; `data` is this one alone."""

    def __init__(self, page: Page[T], fetch: Callable[[int | None], Page[T]]) -> None:
        super().__init__(page)
        self._fetch = fetch

    def next_page(self) -> "SyncPage[T]":
        """Fetch the page after this one. Raises IndexError when there is none."""
        if not self.has_next_page:
            raise IndexError("this is the last page")
        return SyncPage(self._fetch(self.pagination.page + 1), self._fetch)

    def pages(self) -> Iterator["SyncPage[T]"]:
        """Iterate over the pages from this one on."""
        page = self
        yield page
        while page.has_next_page:
            page = page.next_page()
            yield page

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page.data


class AsyncPage(_PageContent[T]):
    """A page of a list. `async for` goes on through all further pages; `data` is this one alone."""

    def __init__(self, page: Page[T], fetch: Callable[[int | None], Awaitable[Page[T]]]) -> None:
        super().__init__(page)
        self._fetch = fetch

    async def next_page(self) -> "AsyncPage[T]":
        """Fetch the page after this one. Raises IndexError when there is none."""
        if not self.has_next_page:
            raise IndexError("this is the last page")
        return AsyncPage(await self._fetch(self.pagination.page + 1), self._fetch)

    async def pages(self) -> AsyncIterator["AsyncPage[T]"]:
        """Iterate over the pages from this one on."""
        page = self
        yield page
        while page.has_next_page:
            page = await page.next_page()
            yield page

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in page.data:
                yield item


class AsyncList(Generic[T]):
    """What an asynchronous `list()` returns: `async for` over all items, or await it for the first page."""

    def __init__(self, fetch: Callable[[int | None], Awaitable[Page[T]]]) -> None:
        self._fetch = fetch

    def __await__(self) -> Generator[Any, Any, AsyncPage[T]]:
        return self._first().__await__()

    async def __aiter__(self) -> AsyncIterator[T]:
        async for item in await self._first():
            yield item

    async def _first(self) -> AsyncPage[T]:
        return AsyncPage(await self._fetch(None), self._fetch)

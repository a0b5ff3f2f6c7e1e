"""Asking a source, the models or the secrets service, what it holds (modelport_contracts.sync)."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from modelport_contracts.records import Source
from modelport_contracts.sync import CHANGES_PATH, SEEN_PATH, SNAPSHOT_PATH, ChangesPage, Position, SnapshotPage

Page = TypeVar("Page", bound=BaseModel)

PAGE = 1000


class SourceAwayError(Exception):
    """The source cannot be reached, or did not answer as agreed. Nothing may be concluded from that."""


class SourceClient:
    """One source. `http` has the source's base address and sends the service token."""

    def __init__(self, source: Source, http: httpx.AsyncClient, *, page: int = PAGE) -> None:
        self.source = source
        self._http = http
        self._page = page

    async def head(self, seen: Position | None = None) -> Position:
        """Ask which database it has, and its revision; tell it how far it was seen. Raises SourceAwayError."""
        if seen is None:
            page = await self._get(SnapshotPage, SNAPSHOT_PATH, {"limit": 1})
            return Position(incarnation=page.incarnation, revision=page.revision)
        return await self._ask(Position, "POST", SEEN_PATH, json=seen.model_dump())

    async def snapshot(self) -> AsyncGenerator[SnapshotPage, None]:
        """Page everything the source owns, as of a revision that is read now. Raises SourceAwayError.

        While a page is being used the next one is on its way: source and gateway work at the same time.
        """
        asking = asyncio.create_task(self._snapshot_page(None))
        try:
            while True:
                page = await asking
                if page.next is None:
                    yield page
                    return
                asking = asyncio.create_task(self._snapshot_page(page.next))
                yield page
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _snapshot_page(self, cursor: str | None) -> SnapshotPage:
        parameters: dict[str, str | int] = {"limit": self._page}
        if cursor is not None:
            parameters["cursor"] = cursor
        return await self._get(SnapshotPage, SNAPSHOT_PATH, parameters)

    async def changes(self, after: int) -> ChangesPage:
        """Ask what changed after a revision. Raises SourceAwayError."""
        return await self._get(ChangesPage, CHANGES_PATH, {"after": after})

    async def _get(self, kind: type[Page], path: str, parameters: dict[str, str | int]) -> Page:
        return await self._ask(kind, "GET", path, params=parameters)

    async def _ask(self, kind: type[Page], method: str, path: str, **content: Any) -> Page:
        try:
            reply = await self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            raise SourceAwayError(f"{self.source}: {type(error).__name__}") from error
        if reply.status_code != httpx.codes.OK:
            raise SourceAwayError(f"{self.source}: {path} answered {reply.status_code}")
        try:
            return kind.model_validate_json(reply.content)
        except ValidationError as error:
            raise SourceAwayError(f"{self.source}: {path} answered something else than agreed") from error

"""Reading the audit trail, and adding to it what belongs to no change (docs/audit.md)."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select

from modelport_contracts.pages import Pagination
from modelport_contracts.resources.audit import AuditEvent
from modelport_kit.audit import Event, audit_row
from modelport_kit.database.engine import Database
from modelport_kit.database.query import fetch_page
from modelport_kit.database.tables import AUDIT
from modelport_kit.lists import PageRequest
from modelport_kit.origin import origin_or_own

_FIELDS = {column.name: column for column in AUDIT.c if column.name not in {"before", "after"}}


class AuditTrail:
    """One service's trail."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._one_at_a_time = asyncio.Lock()
        self._rows: list[dict[str, Any]] = []
        self._batch: asyncio.Task[None] | None = None

    async def tell(self, event: Event) -> None:
        """Add an event; it is kept when this returns. Raises AwayError.

        What is told while another batch is being written is written together: all gateways ask for a value at once.
        """
        service = self._database.source
        self._rows.append(audit_row(event, service, origin_or_own(service), datetime.now(UTC).replace(tzinfo=None)))
        if self._batch is None:
            self._batch = asyncio.ensure_future(self._write())
            self._batch.add_done_callback(_retrieved)
        await asyncio.shield(self._batch)

    async def _write(self) -> None:
        async with self._one_at_a_time:
            rows, self._rows, self._batch = self._rows, [], None
            await self._database.append(insert(AUDIT), rows)

    async def list(self, request: PageRequest) -> tuple[list[AuditEvent], Pagination]:
        """Return a page of the trail."""
        async with self._database.read() as connection:
            rows, position = await fetch_page(
                connection, select(AUDIT), request, filterable=_FIELDS, sortable=_FIELDS, tie=AUDIT.c.id
            )
        return [AuditEvent.model_validate(dict(row._mapping)) for row in rows], position


def _retrieved(batch: "asyncio.Task[None]") -> None:
    if not batch.cancelled():
        batch.exception()  # fetched: whoever told may have gone

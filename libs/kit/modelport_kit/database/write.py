"""A write transaction: entity rows first, what is told of them, the revision, then what carries it, the outbox last.

Within a database commit order is revision order, without reuse (docs/propagation.md, rule 1). The counter's row
is locked from take_revision() to the commit, so only short statements may follow it.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Executable, Table, insert, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncConnection

from modelport_contracts.records import MAX_RECORD_BYTES, Change, Envelope, IndexEntry, Operation, Source
from modelport_kit.audit import Event, audit_row
from modelport_kit.database.tables import AUDIT, OUTBOX, REVISION
from modelport_kit.errors import ApiError
from modelport_kit.origin import Origin, origin_or_own

CHUNK = 250
"""Rows or ids in one statement: databases limit the parameters of one, and its making occupies the event loop."""
PUBLISHED_PER_S = 500
"""The rows of a large transaction are left to the process that commits them for as long as this rate takes it."""
MAX_COMMIT_CLAIM_S = 60.0
"""But no longer: so late is the rest published where that process dies."""


class RecordTooLargeError(ApiError):
    """A record of the routing table would be beyond its limit."""

    def __init__(self, key: str, size: int) -> None:
        super().__init__(
            413,
            "record_too_large",
            f"{key} would need {size} bytes in the routing table, where {MAX_RECORD_BYTES} are allowed; "
            "shorten its headers, bodies or target list",
        )


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A change that is committed with its row and then published."""

    id: int
    change: Change


class WriteTransaction:
    """What a store does in one transaction."""

    def __init__(self, connection: AsyncConnection, source: Source) -> None:
        self.connection = connection
        self.outbox: list[OutboxRow] = []
        self._source: Source = source
        self._revision: int | None = None
        self._incarnation = ""
        self._changes: dict[str, tuple[Operation, bytes, tuple[IndexEntry, ...]]] = {}
        self._stamps: dict[Table, list[str]] = {}
        self._audit: list[dict[str, Any]] = []

    async def execute(
        self, statement: Executable, parameters: Sequence[dict[str, Any]] | None = None
    ) -> CursorResult[Any]:
        """Run a statement."""
        result = await self.connection.execute(statement, parameters)
        assert isinstance(result, CursorResult)
        return result

    async def take_revision(self) -> int:
        """Take the transaction's revision, once, after its entity rows were written.

        Only what needs the number itself calls this (a secret's seal does); else the commit does.
        """
        assert self._revision is None, "a transaction has one revision"
        statement = (
            update(REVISION)
            .where(REVISION.c.id == 1)
            .values(n=REVISION.c.n + 1)
            .returning(REVISION.c.n, REVISION.c.incarnation)
        )
        row = (await self.execute(statement)).one()
        self._revision, self._incarnation = row.n, row.incarnation
        return self._revision

    @property
    def revision(self) -> int:
        """The transaction's revision; 0 where nothing was changed."""
        return self._revision or 0

    def put(
        self,
        key: str,
        payload: bytes,
        index: tuple[IndexEntry, ...] = (),
        *,
        row: tuple[Table, str] | None = None,
    ) -> None:
        """Publish a record's new state with the commit. `row`, a table and an id, gets the revision stamped.

        Raises RecordTooLargeError.
        """
        if len(payload) > MAX_RECORD_BYTES:
            raise RecordTooLargeError(key, len(payload))
        self._changes[key] = ("put", payload, index)
        if row is not None:
            self._stamps.setdefault(row[0], []).append(row[1])

    def delete(self, key: str) -> None:
        """Publish a record's removal with the commit."""
        self._changes[key] = ("delete", b"", ())

    def tell(self, event: Event, origin: Origin | None = None) -> None:
        """Add an event to the audit trail with the commit; without `origin` it is the request's that is served."""
        moment = datetime.now(UTC).replace(tzinfo=None)
        self._audit.append(audit_row(event, self._source, origin or origin_or_own(self._source), moment))

    async def _stamp_rows(self) -> None:
        for table, ids in self._stamps.items():
            for start in range(0, len(ids), CHUNK):
                chunk = ids[start : start + CHUNK]
                await self.execute(update(table).where(table.c.id.in_(chunk)).values(revision=self._revision))

    async def finish(self) -> None:
        """Write what was told, take the revision, stamp the rows that carry it, write the outbox: before the commit."""
        for start in range(0, len(self._audit), CHUNK):
            await self.execute(insert(AUDIT), self._audit[start : start + CHUNK])
        if not self._changes:
            return
        if self._revision is None:
            await self.take_revision()
        await self._stamp_rows()
        now = time.time()
        claimed_until = now + min(len(self._changes) / PUBLISHED_PER_S, MAX_COMMIT_CLAIM_S)
        changes = list(self._changes.items())
        for start in range(0, len(changes), CHUNK):
            await self._insert_outbox(changes[start : start + CHUNK], now, claimed_until)
            await asyncio.sleep(0)

    async def _insert_outbox(
        self, changes: list[tuple[str, tuple[Operation, bytes, tuple[IndexEntry, ...]]]], now: float, until: float
    ) -> None:
        assert self._revision is not None
        rows = [
            {
                "key": key,
                "revision": self._revision,
                "operation": operation,
                "index_entries": json.dumps([entry.model_dump() for entry in index]),
                "payload": payload,
                "created_at": now,
                "claimed_until": until,
            }
            for key, (operation, payload, index) in changes
        ]
        result = await self.connection.execute(
            insert(OUTBOX).returning(OUTBOX.c.id, sort_by_parameter_order=True), rows
        )
        for row_id, (key, (operation, payload, index)) in zip(result.scalars(), changes, strict=True):
            envelope = Envelope(
                key=key,
                source=self._source,
                incarnation=self._incarnation,
                revision=self._revision,
                operation=operation,
                index=index,
            )
            self.outbox.append(OutboxRow(row_id, Change(envelope=envelope, payload=payload)))

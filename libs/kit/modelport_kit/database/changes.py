"""What a source tells a gateway that repairs its table: the revision now, and what changed since one."""

import json

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from modelport_contracts.records import Change, Envelope, IndexEntry
from modelport_contracts.sync import ChangesPage, SyncRecord
from modelport_kit.database.engine import Database
from modelport_kit.database.tables import OUTBOX, REVISION

MAX_CHANGES = 5000
"""More than this since the asked revision, and a full comparison is cheaper."""


async def current_revision(connection: AsyncConnection) -> tuple[str, int]:
    """Return the database's incarnation and its revision."""
    row = (await connection.execute(select(REVISION.c.incarnation, REVISION.c.n))).one()
    return row.incarnation, row.n


async def changes_after(database: Database, after: int) -> ChangesPage:
    """Return the newest state of each key that changed after a revision, or say that this is not known."""
    async with database.read() as connection:
        counter = (await connection.execute(select(REVISION))).one()
        rows = (
            await connection.execute(
                select(OUTBOX).where(OUTBOX.c.revision > after).order_by(OUTBOX.c.id).limit(MAX_CHANGES + 1)
            )
        ).all()
    if after < counter.pruned_through or after > counter.n or len(rows) > MAX_CHANGES:
        return ChangesPage(incarnation=counter.incarnation, revision=counter.n, complete=False)
    newest = {row.key: row for row in rows}
    records = [
        SyncRecord.of(
            Change(
                envelope=Envelope(
                    key=row.key,
                    source=database.source,
                    incarnation=counter.incarnation,
                    revision=row.revision,
                    operation=row.operation,
                    index=tuple(IndexEntry(**entry) for entry in json.loads(row.index_entries)),
                ),
                payload=row.payload,
            )
        )
        for row in newest.values()
    ]
    return ChangesPage(incarnation=counter.incarnation, revision=counter.n, complete=True, records=records)

"""Everything the models service owns, for gateways that repair their table."""

from sqlalchemy import Table, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from modelport_contracts.records import Envelope, Kind, record_key
from modelport_contracts.sync import ChangesPage, Position, SnapshotPage, SyncRecord
from modelport_kit.database import restored
from modelport_kit.database.changes import changes_after, current_revision
from modelport_kit.database.engine import Database
from modelport_models.domain import SOURCE, records
from modelport_models.domain.records import Rendered
from modelport_models.store.common import Row, Serving, all_rows, served_between
from modelport_models.tables import MODEL, PROVIDER, VIRTUAL_MODEL, WORKSPACE

_KINDS: tuple[tuple[Kind, Table, tuple[str, ...]], ...] = (
    ("workspace", WORKSPACE, records.WORKSPACE_COLUMNS),
    ("provider", PROVIDER, records.PROVIDER_COLUMNS),
    ("model", MODEL, records.MODEL_COLUMNS),
    ("virtual-model", VIRTUAL_MODEL, records.VIRTUAL_MODEL_COLUMNS),
)


class SnapshotStore:
    """The source of the routing table's rows, as pages and as changes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def snapshot(self, cursor: str | None, limit: int) -> SnapshotPage:
        """Return one page; kinds follow one another. Raises ValueError for a cursor of another make."""
        pinned: int | None = None
        position, workspace, name = 0, "", ""
        if cursor is not None:
            pinned_text, position_text, workspace, name = cursor.split("/")
            pinned, position = int(pinned_text), int(position_text)
            if not 0 <= position < len(_KINDS):
                raise ValueError(cursor)
        async with self._database.read() as connection:
            incarnation, revision = await current_revision(connection)
            revision = revision if pinned is None else pinned
            kind, table, columns = _KINDS[position]
            scope = table.c.name if table is WORKSPACE else table.c.workspace
            statement = (
                select(table.c.revision, *(table.c[column] for column in columns))
                .where(tuple_(scope, table.c.name) > tuple_(workspace, name))
                .order_by(scope, table.c.name)
                .limit(limit)
            )
            rows = all_rows(await connection.execute(statement))
            rendered = await _render(connection, table, rows)
        found = []
        for row, (payload, index) in zip(rows, rendered, strict=True):
            owner = row["name"] if table is WORKSPACE else row["workspace"]
            envelope = Envelope(
                key=record_key(kind, owner, row["name"]),
                source=SOURCE,
                incarnation=incarnation,
                revision=row["revision"],
                operation="put",
                index=index,
            )
            found.append(SyncRecord(envelope=envelope, payload=payload.decode()))
        following: str | None = None
        if len(rows) == limit:
            last = rows[-1]
            owner = last["name"] if table is WORKSPACE else last["workspace"]
            following = f"{revision}/{position}/{owner}/{last['name']}"
        elif position + 1 < len(_KINDS):
            following = f"{revision}/{position + 1}//"
        return SnapshotPage(incarnation=incarnation, revision=revision, records=found, next=following)

    async def changes(self, after: int) -> ChangesPage:
        """Return what changed after a revision."""
        return await changes_after(self._database, after)

    async def seen(self, position: Position) -> Position:
        """Learn how far somebody has seen this source; return where it is."""
        return await restored.seen(self._database, position)


async def _render(connection: AsyncConnection, table: Table, rows: list[Row]) -> list[Rendered]:
    if table is MODEL:
        serving: Serving = {}
        if rows:
            first, last = ((row["workspace"], row["name"]) for row in (rows[0], rows[-1]))
            serving = await served_between(connection, first, last)
        return [records.model_record(row, serving.get((row["workspace"], row["name"]), ())) for row in rows]
    render = {
        WORKSPACE: records.workspace_record,
        PROVIDER: records.provider_record,
        VIRTUAL_MODEL: records.virtual_model_record,
    }[table]
    return [render(row) for row in rows]

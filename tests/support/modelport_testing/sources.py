"""Sources for tests of the route sync: the services' own plumbing (database, revisions, outbox, internal interface)
over one plain table of records, served by uvicorn.
"""

import asyncio
import contextlib
import hashlib
import json
import socket
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, HTTPException
from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, String, Table, Text, delete, insert, select, update

from modelport_bus import Bus
from modelport_contracts.records import Change, Envelope, IndexEntry, Source
from modelport_contracts.sync import ChangesPage, Position, SnapshotPage, SyncRecord
from modelport_kit.database import restored
from modelport_kit.database.changes import changes_after, current_revision
from modelport_kit.database.engine import Database
from modelport_kit.database.outbox import OutboxPublisher
from modelport_kit.database.tables import add_plumbing_tables
from modelport_kit.http import sync_router
from modelport_kit.service_client import service_client
from modelport_kit.service_tokens import Caller, TrustedCallers

TOKEN = "a-token-for-tests"

_METADATA = MetaData()
_RECORDS = Table(
    "records",
    _METADATA,
    Column("id", String(255), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("index_entries", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)
_REVISION, _OUTBOX, _ = add_plumbing_tables(_METADATA)


class RecordSource:
    """One source's database and its internal interface."""

    def __init__(self, source: Source, folder: Path | None = None, *, url: str = "") -> None:
        """A database in `folder`, or at `url`."""
        self.source: Source = source
        self.database = Database(url or f"sqlite:///{folder}/{source}.db", source)
        self.away = False
        """Answer 503 to everything."""
        self.cut_after_pages: int | None = None
        """Answer 503 to the pages of a snapshot beyond so many."""
        self.pages = 0
        """Snapshot pages of more than one record that were served."""
        self.asked_for_changes = 0

    async def create(self) -> None:
        async with self.database.engine.begin() as connection:
            await connection.run_sync(_METADATA.create_all)
            await connection.execute(insert(_REVISION).values(id=1, n=0, incarnation=uuid.uuid4().hex))

    async def drop(self) -> None:
        """Remove its tables."""
        async with self.database.engine.begin() as connection:
            await connection.run_sync(_METADATA.drop_all)

    async def backup(self) -> dict[str, list[dict[str, Any]]]:
        """Copy all that is in the database."""
        async with self.database.read() as connection:
            return {
                table.name: [dict(row) for row in (await connection.execute(select(table))).mappings()]
                for table in _METADATA.sorted_tables
            }

    async def restore(self, backup: dict[str, list[dict[str, Any]]]) -> None:
        """Put back what was there."""
        async with self.database.engine.connect() as connection:
            await connection.execution_options(modelport_write=True)
            async with connection.begin():
                for table in _METADATA.sorted_tables:
                    await connection.execute(delete(table))
                    if backup[table.name]:
                        await connection.execute(insert(table), backup[table.name])

    async def renew_incarnation(self, *, revision: int) -> None:
        """Become another database, as after a restore: the records stay, their numbers begin anew."""
        async with self.database.engine.begin() as connection:
            await connection.execute(update(_REVISION).values(n=revision, incarnation=uuid.uuid4().hex))
            await connection.execute(update(_RECORDS).values(revision=revision))
            await connection.execute(delete(_OUTBOX))

    async def put(self, *keys: str, text: str = "", index: Iterable[IndexEntry] = ()) -> int:
        """Give records a new state, in one transaction; return its revision."""
        entries = tuple(index)
        async with self.database.write() as write:
            for key in keys:
                payload = json.dumps({"key": key, "text": text}).encode()
                row = {
                    "id": key,
                    "revision": 0,
                    "index_entries": json.dumps([entry.model_dump() for entry in entries]),
                    "payload": payload,
                }
                await write.execute(delete(_RECORDS).where(_RECORDS.c.id == key))
                await write.execute(insert(_RECORDS).values(row))
                write.put(key, payload, entries, row=(_RECORDS, key))
        return write.revision

    async def remove(self, *keys: str) -> int:
        """Remove records, in one transaction; return its revision."""
        async with self.database.write() as write:
            for key in keys:
                await write.execute(delete(_RECORDS).where(_RECORDS.c.id == key))
                write.delete(key)
        return write.revision

    async def payloads(self) -> dict[str, bytes]:
        """Return the truth."""
        async with self.database.read() as connection:
            rows = await connection.execute(select(_RECORDS.c.id, _RECORDS.c.payload))
            return {row.id: row.payload for row in rows}

    async def snapshot(self, cursor: str | None, limit: int) -> SnapshotPage:
        """Implement SyncSource."""
        self._refuse_if(self.away)
        async with self.database.read() as connection:
            incarnation, revision = await current_revision(connection)
            after = ""
            if cursor is not None:
                number, _, after = cursor.partition(" ")
                revision = int(number)
                self._refuse_if(self.cut_after_pages is not None and self.pages >= self.cut_after_pages)
            statement = select(_RECORDS).where(_RECORDS.c.id > after).order_by(_RECORDS.c.id).limit(limit)
            rows = (await connection.execute(statement)).all()
        if limit > 1:
            self.pages += 1
        records = [
            SyncRecord.of(
                Change(
                    envelope=Envelope(
                        key=row.id,
                        source=self.source,
                        incarnation=incarnation,
                        revision=row.revision,
                        operation="put",
                        index=tuple(IndexEntry(**entry) for entry in json.loads(row.index_entries)),
                    ),
                    payload=row.payload,
                )
            )
            for row in rows
        ]
        following = f"{revision} {rows[-1].id}" if len(rows) == limit else None
        return SnapshotPage(incarnation=incarnation, revision=revision, records=records, next=following)

    async def changes(self, after: int) -> ChangesPage:
        """Implement SyncSource."""
        self._refuse_if(self.away)
        self.asked_for_changes += 1
        return await changes_after(self.database, after)

    async def seen(self, position: Position) -> Position:
        """Implement SyncSource."""
        self._refuse_if(self.away)
        return await restored.seen(self.database, position)

    @staticmethod
    def _refuse_if(wanted: bool) -> None:
        if wanted:
            raise HTTPException(503)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def app_of(source: RecordSource) -> FastAPI:
    """Make the internal interface of a source."""
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    trusted = TrustedCallers([Caller(caller="gateway", scopes=frozenset({"sync"}), sha256=digest)])
    app = FastAPI()
    app.include_router(sync_router(lambda: source, trusted))
    return app


@contextlib.asynccontextmanager
async def serving(source: RecordSource) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a source; gives a client as gateways have it."""
    app = app_of(source)
    listening = socket.create_server(("127.0.0.1", 0))
    server = _Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        async with service_client(url, TOKEN) as client:
            yield client
    finally:
        server.should_exit = True
        await task
        listening.close()


@contextlib.asynccontextmanager
async def publishing(source: RecordSource, bus: Bus) -> AsyncIterator[None]:
    """Publish what the source commits."""
    task = asyncio.create_task(OutboxPublisher(source.database, bus.publish).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

"""One database of one service: SQLite in a data folder, or PostgreSQL."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection, Engine, Insert, Row, Select, create_engine, event, make_url, select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from modelport_contracts.records import Source
from modelport_kit.database.counts import DatabaseCounts
from modelport_kit.database.tables import REVISION
from modelport_kit.database.write import OutboxRow, WriteTransaction
from modelport_kit.errors import AwayError
from modelport_kit.settings import SettingsError

_WRITE = "modelport_write"
_READERS = 2
_PATIENCE_MS, _JOURNAL_PATIENCE_MS = 5000, 50
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "secure_delete=ON",
    "foreign_keys=ON",
    f"busy_timeout={_PATIENCE_MS}",
)
ERASE_EVERY_S = 10.0
_TRANSIENT = frozenset({"08", "40", "53", "57", "58"})
"""Classes of SQLSTATE that pass: connection, deadlock, resources, operator intervention, system (PostgreSQL, A)."""


def async_url(url: str) -> str:
    """Return `url` with the asyncio driver filled in. Raises SettingsError for a database we do not support."""
    try:
        parsed = make_url(url)
    except Exception:
        raise SettingsError("MODELPORT_DATABASE_URL is not a database URL") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise SettingsError("MODELPORT_DATABASE_URL: SQLite needs a file: sqlite:////absolute/path.db")
        parsed = parsed.set(drivername="sqlite+aiosqlite")
    elif backend == "postgresql":
        parsed = parsed.set(drivername="postgresql+asyncpg")
    else:
        raise SettingsError(f"MODELPORT_DATABASE_URL: {backend} is not supported; use sqlite or postgresql")
    return parsed.render_as_string(hide_password=False)


class Database:
    """Transactions on one database.

    On SQLite writers begin with BEGIN IMMEDIATE and queue in this process (one process per file): SQLite's own
    lock makes them poll. The journal is WAL with synchronous=FULL: what was answered survives a power cut. With
    secure_delete what is removed or replaced is overwritten with zeros; `erase` does the same for the journal.
    """

    def __init__(self, url: str, source: Source) -> None:
        self.source = source
        self.url = async_url(url)
        self.is_sqlite = self.url.startswith("sqlite")
        self.engine: AsyncEngine = self._open() if self.is_sqlite else self._open(10)
        self.on_commit: Callable[[list[OutboxRow]], None] = lambda rows: None
        """Called with the outbox rows of each committed transaction."""
        self.counts = DatabaseCounts()
        self._writer = asyncio.Lock()
        self._erased_at = 0
        self._single: _SqliteFile | AsyncEngine
        """For single statements."""
        if self.is_sqlite:
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self.engine.sync_engine, "begin", _begin_sqlite)
            event.listen(self.engine.sync_engine, "invalidate", _leave_sqlite)
            self._single = _SqliteFile(self.url)
        else:
            # they are transactions by themselves: half the round trips, beginning and rolling back is left out
            self._single = self._open(5, isolation_level="AUTOCOMMIT")

    def _open(self, pool_size: int | None = None, **options: Any) -> AsyncEngine:
        if pool_size is not None:
            options |= {"pool_size": pool_size, "max_overflow": pool_size, "pool_timeout": 5, "pool_pre_ping": True}
        # errors of SQLAlchemy quote a statement's parameters, which are users' data
        return create_async_engine(self.url, hide_parameters=True, **options)

    @property
    def connections_in_use(self) -> int:
        """How many of the pools' connections are lent out now."""
        pools = [one.pool for one in (self.engine, self._single) if isinstance(one, AsyncEngine)]
        return sum(pool.checkedout() for pool in pools if isinstance(pool, QueuePool))

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()
        if isinstance(self._single, _SqliteFile):
            self._single.close()
        else:
            await self._single.dispose()

    async def answers(self) -> bool:
        """Return True once the database has answered. Raises AwayError."""
        await self.fetch(select(REVISION.c.n))
        return True

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a read transaction. Raises AwayError when the database cannot be reached."""
        with self.counts.counting("read"), _unreachable_is_away():
            async with self.engine.connect() as connection, connection.begin():
                yield connection

    async def fetch(self, statement: Select[Any], values: Mapping[str, Any] | None = None) -> list[Row[Any]]:
        """Read the rows of a single statement; `values` are those of its bound parameters.

        Raises AwayError when the database cannot be reached.
        """
        with self.counts.counting("read"), _unreachable_is_away():
            if isinstance(self._single, _SqliteFile):
                return await self._single.fetch(statement, values)
            async with self._single.connect() as connection:
                return list((await connection.execute(statement, values)).all())

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[WriteTransaction]:
        """Open a write transaction; it commits when the block ends without an error.

        Raises AwayError when the database cannot be reached.
        """
        lock: contextlib.AbstractAsyncContextManager[Any] = self._writer if self.is_sqlite else contextlib.nullcontext()
        with self.counts.counting("write"), _unreachable_is_away():
            async with lock, self.engine.connect() as connection:
                await connection.execution_options(**{_WRITE: True})
                async with connection.begin():
                    transaction = WriteTransaction(connection, self.source)
                    yield transaction
                    await transaction.finish()
        if transaction.outbox:
            self.on_commit(transaction.outbox)

    async def erase(self) -> bool:
        """Empty SQLite's journal, which keeps pages as they were before a change, unless nothing was written since.

        Returns False where somebody reads from it still. PostgreSQL's own journal is its server's affair.
        Raises AwayError.
        """
        if not isinstance(self._single, _SqliteFile):
            return True
        written = self.counts.transactions["write", "committed"]
        if written == self._erased_at:
            return True
        with _unreachable_is_away():
            async with self._writer:
                is_empty = await self._single.empty_journal()
        if is_empty:
            self._erased_at = written
        return is_empty

    async def erase_for_ever(self, erased: Callable[[], None]) -> None:
        """Erase every ERASE_EVERY_S; `erased` is called each time it was done."""
        while True:
            if await self.erase():
                erased()
            await asyncio.sleep(ERASE_EVERY_S)

    async def append(self, statement: Insert, rows: list[dict[str, Any]]) -> None:
        """Insert rows in a transaction of their own, while somebody waits who has to be answered fast.

        They outlive this process, however it ends, once this returns. On SQLite they are not waited for until the disk
        has them: a power cut may take the last ones. Raises AwayError when the database cannot be reached.
        """
        with self.counts.counting("write"), _unreachable_is_away():
            if isinstance(self._single, _SqliteFile):
                async with self._writer:
                    await self._single.append(statement, rows)
                return
            async with self._single.connect() as connection:
                await connection.execute(statement, rows)


class _SqliteFile:
    """Reads a file by single statements, each of them one trip to a thread; appends to it alike.

    The asyncio driver makes a trip of every step - begin, cursor, execute, fetch, close, roll back, twice over - and
    the trips cost five times what the reading does.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url).set(drivername="sqlite")
        self._engine: Engine = create_engine(
            parsed, hide_parameters=True, pool_size=_READERS, connect_args={"check_same_thread": False}
        )
        event.listen(self._engine, "connect", _prepare_sqlite)
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="database-read")
        self._appending: Engine = create_engine(
            parsed, hide_parameters=True, pool_size=1, connect_args={"check_same_thread": False}
        )
        event.listen(self._appending, "connect", _prepare_sqlite)
        event.listen(self._appending, "connect", _do_not_wait_for_the_disk)

    async def fetch(self, statement: Select[Any], values: Mapping[str, Any] | None) -> list[Row[Any]]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._fetch, statement, values)

    def _fetch(self, statement: Select[Any], values: Mapping[str, Any] | None) -> list[Row[Any]]:
        with self._engine.connect() as connection:
            return list(connection.execute(statement, values).all())

    async def empty_journal(self) -> bool:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._empty_journal)

    def _empty_journal(self) -> bool:
        connection = self._engine.raw_connection()  # without a transaction, which would be in its own way
        try:
            cursor = connection.cursor()
            # writers wait meanwhile, and must not have to for a backup that reads for minutes
            cursor.execute(f"PRAGMA busy_timeout={_JOURNAL_PATIENCE_MS}")
            [is_busy, *_] = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            cursor.execute(f"PRAGMA busy_timeout={_PATIENCE_MS}")
            cursor.close()
            return not is_busy
        finally:
            connection.close()

    async def append(self, statement: Insert, rows: list[dict[str, Any]]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, self._append, statement, rows)

    def _append(self, statement: Insert, rows: list[dict[str, Any]]) -> None:
        with self._appending.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.execute(statement, rows)
            connection.commit()

    def close(self) -> None:
        self._threads.shutdown()
        self._engine.dispose()
        self._appending.dispose()


@contextlib.contextmanager
def _unreachable_is_away() -> Any:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise AwayError("the database cannot be reached or refuses to write", "database_away") from error
    except DBAPIError as error:
        state = str(getattr(error.orig, "sqlstate", None) or "")
        if error.connection_invalidated or state[:2] in _TRANSIENT:
            raise AwayError("the database cannot be reached or is too busy", "database_away") from error
        raise
    except (ConnectionError, TimeoutError, PoolTimeoutError) as error:
        raise AwayError("the database cannot be reached", "database_away") from error


def _prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver would otherwise begin transactions by itself, and deferred
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _do_not_wait_for_the_disk(connection: Any, _entry: ConnectionPoolEntry) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")


def _leave_sqlite(connection: Any, _entry: ConnectionPoolEntry, _error: BaseException | None) -> None:
    """Give up the transaction of a connection that is thrown away, as one is whose statement was cancelled.

    Closed with a cursor still about, which the cancellation's traceback keeps until it is collected, SQLite would hold
    the file's lock for all that time.
    """
    with contextlib.suppress(Exception):
        connection.rollback()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

"""Backups of a service's database, taken and restored as an operator does it."""

import contextlib
import sqlite3
from pathlib import Path

from modelport_testing.postgres import PostgresServer


def back_up(url: str, postgres: PostgresServer | None, file: Path) -> None:
    """Write a backup of a database that is in use: SQLite's, or one of `postgres`."""
    if postgres is not None:
        file.write_bytes(postgres.run("pg_dump", "--format=custom", url=url))
        return
    with (
        contextlib.closing(sqlite3.connect(url.partition("///")[2])) as source,
        contextlib.closing(sqlite3.connect(file)) as target,
    ):
        source.backup(target)


def restore(url: str, postgres: PostgresServer | None, file: Path) -> None:
    """Put a backup in the place of the database, whose service has been stopped."""
    if postgres is not None:
        name = url.rpartition("/")[2]
        postgres.run("pg_restore", "--clean", "--if-exists", f"--dbname={name}", url=url, given=file)
        return
    path = Path(url.partition("///")[2])
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.write_bytes(file.read_bytes())

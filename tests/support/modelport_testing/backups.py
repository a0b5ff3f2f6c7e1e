"""Backups of a service's database, taken and restored as an operator does it."""

import contextlib
import sqlite3
import subprocess
from pathlib import Path

from modelport_testing.postgres import postgres_program


def back_up(url: str, file: Path) -> None:
    """Write a backup of a database that is in use."""
    if "sqlite" in url:
        with (
            contextlib.closing(sqlite3.connect(url.partition("///")[2])) as source,
            contextlib.closing(sqlite3.connect(file)) as target,
        ):
            source.backup(target)
        return
    _run("pg_dump", "--format=custom", f"--file={file}", "-d", url)


def restore(url: str, file: Path) -> None:
    """Put a backup in the place of the database, whose service has been stopped."""
    if "sqlite" in url:
        path = Path(url.partition("///")[2])
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.write_bytes(file.read_bytes())
        return
    _run("pg_restore", "--clean", "--if-exists", "-d", url, str(file))


def _run(program: str, *arguments: str) -> None:
    done = subprocess.run([postgres_program(program), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""What is done to the platform, and how it ends: each a context that harms on entering and mends on leaving."""

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import nats
from nats.js.client import JetStreamContext

from modelport_contracts.events import ROUTE_SYNC_CONSUMER, STREAM
from modelport_contracts.records import SOURCES
from modelport_routing import keys
from modelport_testing.polling import eventually_sync
from modelport_testing.postgres import PostgresServer
from modelport_testing.servers import TestServer
from modelport_testing.whole import Whole

Strike = Callable[[Whole], AbstractContextManager[None]]
Part = TestServer | PostgresServer
Pick = Callable[[Whole], Part]


def redis(port: int, *words: str) -> bytes:
    """Send one command to a Valkey and return the first line of its answer."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(" ".join(words).encode() + b"\r\n")
        return connection.makefile("rb").readline().strip()


def holds(whole: Whole, provider: str) -> bool:
    """Tell whether the routing table has a provider, without asking a gateway."""
    return redis(whole.valkey.port, "EXISTS", keys.row(f"provider/default/{provider}")) == b":1"


def models(whole: Whole) -> Part:
    return whole.models


def secrets(whole: Whole) -> Part:
    return whole.secrets


def bus(whole: Whole) -> Part:
    return whole.nats


def table(whole: Whole) -> Part:
    return whole.valkey


def gateway(whole: Whole) -> Part:
    return whole.gateways[0]


def database(whole: Whole) -> Part:
    assert whole.postgres is not None, "this platform has no PostgreSQL"
    return whole.postgres


def killed(*picks: Pick) -> Strike:
    """Parts die by SIGKILL and are started again at the end."""

    @contextlib.contextmanager
    def strike(whole: Whole) -> Iterator[None]:
        for pick in picks:
            pick(whole).kill()
        try:
            yield
        finally:
            # The last one first: what others need comes last in the lists.
            for pick in reversed(picks):
                pick(whole).start()

    return strike


def paused(pick: Pick) -> Strike:
    """A part is halted by SIGSTOP: its connections stand, and nothing is said on them."""

    @contextlib.contextmanager
    def strike(whole: Whole) -> Iterator[None]:
        pick(whole).pause()
        try:
            yield
        finally:
            pick(whole).resume()

    return strike


@contextlib.contextmanager
def flushed(whole: Whole) -> Iterator[None]:
    """FLUSHALL."""
    assert redis(whole.valkey.port, "FLUSHALL") == b"+OK"
    yield


def deleted(what: Callable[[JetStreamContext], Awaitable[Any]]) -> Strike:
    """Something is deleted in JetStream."""

    async def delete(url: str) -> None:
        connection = await nats.connect(url)
        try:
            await what(connection.jetstream())
        finally:
            await connection.close()

    @contextlib.contextmanager
    def strike(whole: Whole) -> Iterator[None]:
        asyncio.run(delete(whole.nats.url))
        yield

    return strike


stream_deleted = deleted(lambda jetstream: jetstream.delete_stream(STREAM))
consumer_deleted = deleted(lambda jetstream: jetstream.delete_consumer(STREAM, ROUTE_SYNC_CONSUMER))


@contextlib.contextmanager
def emptied(whole: Whole) -> Iterator[None]:
    """Redis and NATS die and come back with nothing."""
    whole.valkey.kill()
    whole.nats.wipe()
    whole.valkey.start()
    yield


@contextlib.contextmanager
def old_dump(whole: Whole) -> Iterator[None]:
    """Redis dies and comes back with what it held before the changes made meanwhile."""
    assert redis(whole.valkey.port, "SAVE") == b"+OK"
    dump = whole.folder / "valkey" / "dump.rdb"
    assert dump.exists()
    yield
    whole.valkey.kill()
    whole.valkey.start()
    # It was loaded: nothing less would be an old table.
    assert redis(whole.valkey.port, "EXISTS", keys.complete(SOURCES[0])) == b":1"
    dump.unlink()


def cut(*gateways: int) -> Strike:
    """The network between gateways and Redis drops everything without a word."""

    @contextlib.contextmanager
    def strike(whole: Whole) -> Iterator[None]:
        for number in gateways:
            whole.wires[number].cut()
        try:
            yield
        finally:
            for number in gateways:
                whole.wires[number].mend()

    return strike


@contextlib.contextmanager
def disk_full(whole: Whole) -> Iterator[None]:
    """Not a byte is left where SQLite's files are."""
    assert whole.databases is not None
    filler = whole.databases / "filler"
    with filler.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(65536))
        with contextlib.suppress(OSError):
            while True:
                file.write(b"\0")
    try:
        yield
    finally:
        filler.unlink()


def set_clocks(file: Path, seconds: int) -> None:
    """Say by how much wall clocks are wrong; `file` is what clock.c reads."""
    with file.open("r+b" if file.exists() else "wb") as stream:
        stream.write(seconds.to_bytes(8, sys.byteorder, signed=True))


def _wrong_by(whole: Whole) -> float:
    date = httpx.get(f"{whole.models.url}/health/live").headers["date"]
    return parsedate_to_datetime(date).timestamp() - time.time()


def clock_jump(file: Path, seconds: int) -> Strike:
    """All wall clocks jump, and jump back at the end."""

    @contextlib.contextmanager
    def strike(whole: Whole) -> Iterator[None]:
        set_clocks(file, seconds)
        try:
            # One that did not move would prove nothing.
            eventually_sync(lambda: abs(_wrong_by(whole) - seconds) < 5, 10)
            yield
        finally:
            set_clocks(file, 0)

    return strike


@contextlib.contextmanager
def rolling_restart(whole: Whole) -> Iterator[None]:
    """Each gateway is told to leave and started again, one after the other."""
    for one in whole.gateways:
        one.terminate()
        one.wait()
        one.start()
        # The edge looks once a second whether it is back.
        time.sleep(1.5)
    yield

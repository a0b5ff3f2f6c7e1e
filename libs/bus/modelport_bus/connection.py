"""One connection to NATS after another, for as long as the process runs.

nats-py's own reconnecting is switched off: it sleeps 2 s, gives up on some errors and replays subscriptions of
which the server may know nothing any more (an empty disk). Here each connection is a client of its own; whoever
uses one learns that it is lost and sets up anew on the next.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit

import nats.errors
from nats.aio.client import Client

from modelport_bus.errors import BusAwayError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

CONNECT_TIMEOUT_S = 2.0
PING_EVERY_S = 2
"""A silent server is noticed after two unanswered pings."""
FIRST_RETRY_S = 0.05
MAX_RETRY_S = 1.0
_LOOK_EVERY_S = 0.25
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")


class NatsConnection:
    """A live client, and a future that is done once the connection is lost."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def watch(self) -> None:
        """Return when the client has closed. nats-py skips its callbacks on some errors, so this looks as well."""
        while not self.client.is_closed and not self.lost.done():
            await asyncio.wait([self.lost], timeout=_LOOK_EVERY_S)
        self.mark_lost()

    async def during(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do `work`, but not beyond the loss of the connection: nats-py lets its requests wait for their timeout.

        Raises BusAwayError on the loss, and whatever `work` raises.
        """
        task = asyncio.ensure_future(work)
        waiting: list[asyncio.Future[Any]] = [task, self.lost]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise BusAwayError("the connection is lost")
            return task.result()
        finally:
            task.cancel()

    def mark_lost(self) -> None:
        """Wake whoever waits on this connection."""
        if not self.lost.done():
            self.lost.set_result(None)


class ConnectionKeeper:
    """Keeps one NATS connection open, retrying for ever. `run` never raises on a server that is away."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._shown = _without_password(url)
        self._current: NatsConnection | None = None
        self._arrived = asyncio.Event()

    @property
    def current(self) -> NatsConnection | None:
        """The live connection, or None while the server is away."""
        connection = self._current
        return connection if connection is not None and connection.client.is_connected else None

    async def wait(self) -> NatsConnection:
        """Return the live connection as soon as there is one."""
        while (connection := self.current) is None:
            if self._current is None:
                self._arrived.clear()
                await self._arrived.wait()
            else:
                await asyncio.wait([self._current.lost], timeout=_LOOK_EVERY_S)
        return connection

    async def run(self) -> None:
        """Connect, stay, connect again, until cancelled."""
        retry_s = FIRST_RETRY_S
        away = False
        while True:
            try:
                connection = await self._connect()
            except (OSError, nats.errors.Error, TimeoutError) as error:
                if not away:
                    logger.warning("NATS at %s is away, trying again: %s", self._shown, _reason(error))
                    away = True
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, MAX_RETRY_S)
                continue
            except Exception:
                # whatever it is (an answer that is not NATS's, say), nobody else would ever connect again
                logger.exception("connecting to NATS at %s failed, trying again", self._shown)
                away = True
                await asyncio.sleep(MAX_RETRY_S)
                continue
            logger.info("connected to NATS at %s", self._shown)
            away, retry_s = False, FIRST_RETRY_S
            self._current = connection
            self._arrived.set()
            try:
                await connection.watch()
            finally:
                self._current = None
                connection.mark_lost()
                await close_quietly(connection.client)
            logger.warning("connection to NATS at %s lost", self._shown)

    async def _connect(self) -> NatsConnection:
        client = Client()
        connection = NatsConnection(client)

        async def on_error(error: Exception) -> None:
            if "permissions violation" in (reason := _reason(error)).lower():
                # All that whoever asked would notice is that no answer comes.
                logger.error("NATS at %s does not let this service's user do what it needs: %s", self._shown, reason)
            else:
                logger.debug("NATS: %s", reason)

        async def on_closed() -> None:
            connection.mark_lost()

        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S * 2):
                await client.connect(
                    self._url.split(","),
                    name=self._name,
                    inbox_prefix=inbox_prefix(self._url),
                    error_cb=on_error,
                    closed_cb=on_closed,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=int(CONNECT_TIMEOUT_S),
                    ping_interval=PING_EVERY_S,
                    max_outstanding_pings=2,
                )
        except BaseException:
            await close_quietly(client)
            raise
        return connection


def inbox_prefix(url: str) -> str:
    """Return where replies to the user of an address come: no user may listen to another's.

    A name without a password is a token, which may stand in no subject.
    """
    address = urlsplit(url.partition(",")[0])
    is_name = address.password is not None and _PLAIN_NAME.fullmatch(address.username or "")
    return f"_INBOX_{address.username}" if is_name else "_INBOX"


async def close_quietly(client: Client) -> None:
    """Close a client whatever state it is in."""
    with contextlib.suppress(Exception):
        await client.close()


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _without_password(url: str) -> str:
    return ",".join(urlsplit(part).netloc.rpartition("@")[2] for part in url.split(","))

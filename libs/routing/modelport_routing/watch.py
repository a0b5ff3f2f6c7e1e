"""Watching the gateways: who is live, and when a change is applied by all of them (docs/propagation.md, rule 19).

On a connection of its own, with Redis' tracking of single keys: whoever asks is woken by the next change of what
was read, once, and reads again. Nothing is polled while nobody asks, but for the beats.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import hiredis

from modelport_contracts.records import SOURCES
from modelport_routing import keys
from modelport_routing.connection import Connection, ConnectionLostError, RedisAddress, Reply
from modelport_routing.errors import TableAwayError
from modelport_routing.fleet import SETTLED, Fleet, Observer, Progress, Reading, Standing
from modelport_routing.keeping import keep_connected
from modelport_routing.rows import parse_row, run_id_of

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
GRACE_S = 1.0
"""For so long a question waits for the connection where it is not to wait for more."""
_NOBODY = Fleet((), (), False, None, ())
_SWEEP = "if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end return 0"
Accepts = Callable[[Standing], bool]


class GatewayWatch:
    """One process' view of all gateways."""

    def __init__(self, url: str, *, boot_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`boot_id` names this process' own record."""
        self._address = RedisAddress.from_url(url)
        self._boot_id = boot_id
        self._clock = clock
        self._observer = Observer()
        self._connection: Connection | None = None
        self._run_id = ""
        self._version = 0
        self._changed = asyncio.Event()
        self._asked: set[str] = set()
        self._reading: asyncio.Future[Reading] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._is_ending = False
        self.on_look: Callable[[], None] | None = None
        """Called each time the gateways were seen."""
        self.fleet = _NOBODY
        """As last seen."""
        self.head = 0
        self.epoch: str | None = None

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(keep_connected(self._address, self._connect, self._disconnected), name="gateway watch"),
            asyncio.create_task(self._look_now_and_then(), name="gateway watch beats"),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_waits()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def own_boot_id(self) -> str:
        """Names this process' own record."""
        return self._boot_id

    def end_waits(self) -> None:
        """Answer everybody who waits with what is known now; nobody waits from here on."""
        self._is_ending = True
        self._wake()

    async def applied(
        self, key: str, revision: int, *, wait_s: float = 0.0, accepts: Accepts | None = None
    ) -> tuple[Progress, bool]:
        """Say whether a record is applied, at `revision` or later, by all live gateways; wait for it up to `wait_s`.

        With `accepts` a state that it refuses does not count, and is waited on from. Raises TableAwayError.
        """
        progress = Progress(key, revision)
        end = self._clock() + wait_s
        while True:
            version = self._version
            reading = await self._read(key, max(end - self._clock(), GRACE_S))
            refused = False
            done = progress.look(reading, self.fleet, self._boot_id)
            if accepts is not None and progress.standing is not None and not accepts(progress.standing):
                progress, refused = _restarted(progress, key, revision), True
            if done and not refused:
                return progress, True
            if self._is_ending or self._clock() >= end:
                return progress, False
            if self._version == version:
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(end - self._clock()):
                        await self._changed.wait()

    # ------------------------------------------------------------------------------------------------- reading

    async def _read(self, key: str, patience_s: float) -> Reading:
        """Read what rule 19 needs; all who ask in one turn of the loop share a transaction."""
        end = self._clock() + patience_s
        while True:
            version = self._version
            try:
                return await asyncio.shield(self._ask(key))
            except (ConnectionLostError, hiredis.ReplyError) as error:
                if self._is_ending or self._clock() >= end:
                    raise TableAwayError("Redis is away; which gateways have a change cannot be told") from error
            if self._version == version:
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(end - self._clock()):
                        await self._changed.wait()

    def _ask(self, key: str | None) -> asyncio.Future[Reading]:
        if key is not None:
            self._asked.add(key)
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(self._send_reading)
        return self._reading

    def _send_reading(self) -> None:
        reading, asked = self._reading, sorted(self._asked)
        assert reading is not None
        self._reading = None
        self._asked = set()
        connection, run_id = self._connection, self._run_id

        def on_reply(reply: Reply) -> None:
            failed = (
                reply if isinstance(reply, Exception) else next((x for x in reply if isinstance(x, Exception)), None)
            )
            if failed is not None:
                _fail(reading, failed)
                return
            if not reading.done():
                reading.set_result(self._take(run_id, asked, *reply))

        names = [keys.EPOCH, keys.HEAD, *keys.MARKS, *map(keys.floor, SOURCES), *map(keys.row, asked)]
        try:
            if connection is None:
                raise ConnectionLostError("not connected")
            connection.send(_ignore, "MULTI")
            connection.send(_ignore, "MGET", *names)
            connection.send(_ignore, "HGETALL", keys.gateways(run_id))
            connection.send(on_reply, "EXEC")
        except ConnectionLostError as error:
            _fail(reading, error)

    def _take(self, run_id: str, asked: list[str], values: list[bytes | None], roster: dict[bytes, bytes]) -> Reading:
        count = len(SOURCES)
        rows = values[2 + 2 * count :]
        reading = Reading(
            run_id=run_id,
            epoch=_text(values[0]),
            head=int(values[1] or 0),
            marks=dict(zip(SOURCES, map(_text, values[2 : 2 + count]), strict=True)),
            floors=dict(zip(SOURCES, map(_text, values[2 + count : 2 + 2 * count]), strict=True)),
            rows={key: None if raw is None else parse_row(raw) for key, raw in zip(asked, rows, strict=True)},
            roster=roster,
        )
        self.head, self.epoch = reading.head, reading.epoch
        self.fleet = self._observer.look(roster, self._clock())
        self._tidy(run_id)
        return reading

    def _tidy(self, run_id: str) -> None:
        connection, name = self._connection, keys.gateways(run_id)
        if connection is None:
            return
        with contextlib.suppress(ConnectionLostError):
            if self.fleet.settles is not None:
                connection.send(_ignore, "HSET", name, SETTLED, self.fleet.settles)
            for field, value in self.fleet.swept:
                connection.send(_ignore, "EVAL", _SWEEP, 1, name, field, value)

    # ---------------------------------------------------------------------------------------------- connection

    async def _look_now_and_then(self) -> None:
        """See the beats, and let those who wait see who has fallen silent."""
        while True:
            try:
                await asyncio.shield(self._ask(None))
                if self.on_look is not None:
                    self.on_look()
            except (ConnectionLostError, hiredis.ReplyError):
                pass
            except Exception:
                # Nobody else would ever look again, and who is live would be as it was for ever.
                logger.exception("looking at the gateways failed, trying again")
            self._wake()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _connect(self) -> Connection:
        connection = await Connection.open(self._address, self._on_push, name="modelport-gateway-watch")
        try:
            async with asyncio.timeout(GRACE_S):
                await connection.call("CLIENT", "TRACKING", "ON")
                self._run_id = run_id_of(await connection.call("INFO", "server"))
        except BaseException:
            connection.abort()
            raise
        self._connection = connection
        self._wake()
        return connection

    def _disconnected(self) -> None:
        self._connection = None
        self._wake()

    def _on_push(self, message: list[Any]) -> None:
        if message[0] == b"invalidate":
            self._wake()

    def _wake(self) -> None:
        self._version += 1
        self._changed.set()


def _restarted(progress: Progress, key: str, revision: int) -> Progress:
    """Forget since when a state was proven; what it is stays to be told."""
    fresh = Progress(key, revision)
    fresh.standing = progress.standing
    return fresh


def _fail(reading: asyncio.Future[Reading], error: Exception) -> None:
    if not reading.done():
        reading.set_exception(error)
        reading.exception()  # nobody may be waiting any more


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="replace")


def _ignore(_: Reply) -> None:
    """Take a reply that only had to come."""

"""The fence: how a gateway process knows, and says, which changes it has applied.

docs/propagation.md, rules 17, 18 and 22. Everything travels on the near cache's one connection, the record too:
its reply comes after every push that Redis sent before it wrote the record. So whatever others were told to be
applied while this process was not counted has been seen here when the lease is granted; and a process that cannot
be heard cannot hear.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import hiredis

from modelport_routing import keys
from modelport_routing.connection import TIMEOUT_S, Connection, ConnectionLostError, Reply
from modelport_routing.fleet import GENERATION, GatewayRecord
from modelport_routing.lease import Lease
from modelport_routing.near_cache import NearCache, TableEvent

logger = logging.getLogger(__name__)

BEAT_S = 0.5
SPACING_S = 0.005
"""Between the beginnings of two fences: a rebuild writes thousands of rows, and one fence covers all before it."""
_LEAVE_S = 0.5


@dataclass(frozen=True, slots=True)
class Applied:
    """This process has applied the epoch's changes up to `head`."""

    epoch: str | None
    head: int


class Fence:
    """Fences of one process, one at a time: after a change, and every BEAT_S."""

    def __init__(
        self,
        cache: NearCache,
        lease: Lease,
        *,
        gateway_id: str,
        on_join: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make it before the cache is started. `on_join` is called once: others count on this process from then on."""
        self._cache = cache
        self._lease = lease
        self._gateway_id = gateway_id
        self._on_join = on_join
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._running: Connection | None = None
        """The connection of the fence that is under way."""
        self._sent_at = float("-inf")
        self._is_wanted = False
        self._has_left = False
        self._is_refused = False
        self._beat = 0
        self.boot_id = secrets.token_hex(8)
        """Names this process' record."""
        self.applied: Applied | None = None
        """What the last fence has shown; None until the first, and while there is no connection."""
        self.has_joined = False
        self.fences = 0
        """How many have succeeded."""
        cache.subscribe(self._on_table_event)
        lease.asks(self.want)

    def want(self) -> None:
        """Begin a fence as soon as may be."""
        self._is_wanted = True
        if self._running is None:
            self._schedule(max(0.0, self._sent_at + SPACING_S - self._clock()))

    async def leave(self) -> None:
        """Take the record away. To be called when no request is served here any more."""
        self._has_left = True
        if self._timer is not None:
            self._timer.cancel()
        connection = self._cache.connection
        if connection is None:
            return
        try:
            async with asyncio.timeout(_LEAVE_S):
                await connection.call("HDEL", keys.gateways(self._cache.run_id), self.boot_id)
        except (ConnectionLostError, hiredis.ReplyError, TimeoutError) as error:
            logger.warning("the record of this gateway stays until others miss its beats: %s", error)

    def _on_table_event(self, event: TableEvent) -> None:
        if event is TableEvent.LOST:
            self._running = self.applied = None
            self._lease.end()
            if self._timer is not None:
                self._timer.cancel()
        elif event is not TableEvent.GAP:
            if event is TableEvent.TABLE_CHANGED:
                self.applied = None
            self.want()

    def _schedule(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._has_left or self._cache.connection is None:
            return
        if delay_s <= 0:
            self._begin()
        else:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._begin)

    def _begin(self) -> None:
        connection = self._cache.connection
        if connection is None or self._has_left:
            return
        self._is_wanted = False
        self._sent_at = self._clock()
        self._running = connection
        try:
            connection.send(self._on_head, "MGET", keys.EPOCH, keys.HEAD)
        except ConnectionLostError:
            self._running = None
            return
        self._timer = asyncio.get_running_loop().call_later(TIMEOUT_S, self._give_up, connection)

    def _give_up(self, connection: Connection) -> None:
        if self._running is connection:
            logger.warning("no answer from Redis within %g s: connecting anew", TIMEOUT_S)
            connection.abort()

    def _on_head(self, reply: Reply) -> None:
        connection = self._running
        if connection is None or self._has_left:
            return
        if isinstance(reply, Exception):
            self._fail(connection, reply)
            return
        epoch, head = reply
        reached = Applied(None if epoch is None else epoch.decode(errors="replace"), int(head or 0))
        # Only now: a head can be read before the pushes of its own event-loop turn (rule 17).
        self._send(connection, lambda told: self._on_tracking(connection, reached, told), "CLIENT", "TRACKINGINFO")

    def _on_tracking(self, connection: Connection, reached: Applied, reply: Reply) -> None:
        if self._running is not connection or self._has_left:
            return
        if isinstance(reply, Exception) or not _is_tracked(reply):
            self._fail(connection, reply if isinstance(reply, Exception) else ValueError("Redis tracks nothing here"))
            return
        self.applied = reached
        self._beat += 1
        record = GatewayRecord(self.boot_id, self._gateway_id, self._beat, reached.epoch, reached.head)
        sent_at = self._sent_at
        roster = keys.gateways(self._cache.run_id)
        self._send(connection, _ignore, "HSETNX", roster, GENERATION, secrets.token_hex(8))
        self._send(
            connection,
            lambda told: self._on_written(connection, sent_at, told),
            *("HSET", roster, self.boot_id, record.encode()),
        )

    def _on_written(self, connection: Connection, sent_at: float, reply: Reply) -> None:
        if self._running is not connection or self._has_left:
            return
        self._running = None
        if isinstance(reply, Exception):
            if not self._is_refused:
                logger.warning("Redis refuses the record of this gateway, which goes on as if cut off: %s", reply)
            self._is_refused = True
        else:
            self._is_refused = False
            self.fences += 1
            self._lease.grant(sent_at)
        # Refused, it serves all the same: nobody counts on it, it has no lease, and knows both.
        if not self.has_joined:
            self.has_joined = True
            if self._on_join is not None:
                self._on_join()
        # A refused one waits for the next beat: asking at once would be refused at once.
        if self._is_wanted and not isinstance(reply, Exception):
            self.want()
        else:
            self._schedule(sent_at + BEAT_S - self._clock())

    def _send(self, connection: Connection, on_reply: Callable[[Reply], None], *command: str) -> None:
        try:
            connection.send(on_reply, *command)
        except ConnectionLostError:
            self._running = None

    def _fail(self, connection: Connection, reason: Exception) -> None:
        self._running = None
        if not isinstance(reason, ConnectionLostError):
            logger.warning("the fence failed, connecting anew: %s", reason)
            connection.abort()


def _is_tracked(info: Reply) -> bool:
    return (
        isinstance(info, dict)
        and {b"on", b"bcast"} <= set(info.get(b"flags", ()))
        and keys.PREFIX.encode() in info.get(b"prefixes", ())
    )


def _ignore(_: Reply) -> None:
    """Take a reply that only had to come."""

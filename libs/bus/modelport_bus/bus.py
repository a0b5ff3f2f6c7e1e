"""The bus as services see it: publish a change, consume changes.

docs/propagation.md, rules 5 to 8. Applying a change is idempotent, so there are no message ids, and order is the
business of whoever applies (revisions).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg

from modelport_bus.connection import ConnectionKeeper, NatsConnection
from modelport_bus.errors import BusAwayError, BusRefusedError
from modelport_bus.pull import Puller
from modelport_bus.streams import ACK_WAIT_S, ensure_consumer, ensure_stream
from modelport_contracts.events import STREAM, subject_of, subjects_of_source
from modelport_contracts.records import Change, Envelope, PoisonError, Source

logger = logging.getLogger(__name__)

Handler = Callable[[Change], Awaitable[None]]
Gate = Callable[[], Awaitable[None]]

PUBLISH_TIMEOUT_S = 2.0
STREAM_POLL_S = 0.1
"""How often who does not keep the stream looks whether it is there."""
RETRY_AFTER_S = 0.25
"""How long a message rests after its handler failed."""
FIRST_BACKOFF_S = 0.05
MAX_BACKOFF_S = 1.0
_TROUBLE = (nats.errors.Error, OSError, TimeoutError, asyncio.InvalidStateError)


@dataclass
class BusCounts:
    """What this process has done, for metrics."""

    published: int = 0
    handled: int = 0
    failed: int = 0
    """Handler failures; each such message comes again."""
    poisoned: int = 0
    """Messages that no retry would make readable; dropped."""


class Bus:
    """A connection to NATS that outlives the server's absences: `start` returns at once, NATS there or not."""

    def __init__(self, url: str, *, name: str, keeps_stream: bool = True) -> None:
        """`url` is nats://user:password@host:port; `name` is shown by the server's monitoring.

        Who does not keep the stream waits, where it is missing, for the one who does: only that one may set it up.
        """
        self._keeps_stream = keeps_stream
        self._keeper = ConnectionKeeper(url, name)
        self._keeping: asyncio.Task[None] | None = None
        self.counts = BusCounts()

    @property
    def connected(self) -> bool:
        """Whether there is a live connection now."""
        return self._keeper.current is not None

    async def start(self) -> None:
        """Begin connecting."""
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keeper.run(), name="bus connection")

    async def close(self) -> None:
        """Close the connection. Consumers are cancelled by whoever runs them, before this."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            self._keeping = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def wait_connected(self) -> None:
        """Return once there is a connection."""
        await self._keeper.wait()

    async def publish(self, change: Change) -> None:
        """Publish a change and wait until the stream has stored it.

        Raises BusAwayError where the bus is away or silent, BusRefusedError where it refuses this message.
        """
        connection = self._keeper.current
        if connection is None:
            raise BusAwayError("NATS is away")
        try:
            try:
                await connection.during(_store(connection, change))
            except nats.js.errors.NoStreamResponseError:
                if self._keeps_stream:
                    await connection.during(ensure_stream(connection.client.jetstream()))
                    await connection.during(_store(connection, change))
                else:
                    await connection.during(_store_once_possible(connection, change))
        except (nats.js.errors.ServiceUnavailableError, nats.js.errors.NoStreamResponseError) as error:
            raise BusAwayError(f"JetStream is not available: {error}") from error
        except (nats.js.errors.APIError, nats.errors.MaxPayloadError) as error:
            raise BusRefusedError(f"{change.envelope.key}: {error}") from error
        except _TROUBLE as error:
            raise BusAwayError(f"NATS did not confirm: {str(error) or type(error).__name__}") from error
        self.counts.published += 1

    async def newest(self, source: Source) -> Envelope | None:
        """Return the envelope of what the stream took last from a source; None where it holds nothing of it.

        Waits for the connection. Raises BusAwayError where the bus does not answer.
        """
        connection = await self._keeper.wait()
        stream = connection.client.jetstream()
        try:
            last = await connection.during(stream.get_last_msg(STREAM, subjects_of_source(source)))
        except nats.js.errors.NotFoundError:
            return None
        except (nats.js.errors.Error, *_TROUBLE) as error:
            raise BusAwayError(f"NATS did not answer: {str(error) or type(error).__name__}") from error
        try:
            return Change.decode(last.data or b"").envelope
        except PoisonError:
            return None

    async def consume(
        self,
        durable: str,
        filter_subject: str,
        handler: Handler,
        *,
        gate: Gate | None = None,
        ack_wait_s: float = ACK_WAIT_S,
        on_success: Callable[[], None] = lambda: None,
    ) -> None:
        """Hand every change on `filter_subject` to `handler`, at least once, until cancelled.

        Processes that use the same `durable` share the messages. Messages that arrive together are handled
        concurrently; one whose handler raises comes again. While `gate` has not returned nothing is pulled. After
        every error the loop backs off and makes sure of stream and consumer again. `on_success` is called at least
        every few seconds, save where the bus does not answer, the gate does not return or handlers fail.
        """
        backoff_s = FIRST_BACKOFF_S
        while True:
            handled_before = self.counts.handled
            try:
                connection = await self._keeper.wait()
                if self._keeps_stream:
                    await connection.during(ensure_stream(connection.client.jetstream()))
                await self._ensure_consumer(connection, durable, filter_subject, ack_wait_s)
                async with Puller(connection, STREAM, durable) as puller:
                    await self._pull(puller, handler, gate, on_success)
            except _TROUBLE as error:
                if self.counts.handled > handled_before:
                    backoff_s = FIRST_BACKOFF_S
                logger.warning(
                    "consumer %s: %s; again in %.2f s", durable, str(error) or type(error).__name__, backoff_s
                )
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)

    async def _ensure_consumer(
        self, connection: NatsConnection, durable: str, filter_subject: str, ack_wait_s: float
    ) -> None:
        jetstream = connection.client.jetstream()
        is_waiting = False
        while True:
            try:
                await connection.during(ensure_consumer(jetstream, durable, filter_subject, ack_wait_s))
            except nats.js.errors.NotFoundError:
                if not is_waiting:
                    logger.warning("consumer %s waits for the stream %s, which secrets makes", durable, STREAM)
                    is_waiting = True
                await connection.during(asyncio.sleep(STREAM_POLL_S))
            else:
                return

    async def _pull(self, puller: Puller, handler: Handler, gate: Gate | None, on_success: Callable[[], None]) -> None:
        while True:
            if gate is not None:
                await gate()
            messages = await puller.next()
            outcomes = await asyncio.gather(*(self._handle(message, handler) for message in messages))
            if all(outcomes):
                on_success()

    async def _handle(self, message: Msg, handler: Handler) -> bool:
        """Return False where the message comes again."""
        try:
            change = Change.decode(message.data)
        except PoisonError as error:
            self.counts.poisoned += 1
            logger.error("dropped an unreadable message on %s: %s", message.subject, error)
            await message.term()
            return True
        try:
            await handler(change)
        except Exception as error:
            self.counts.failed += 1
            logger.warning(
                "change of %s not handled, it comes again: %s", change.envelope.key, str(error) or type(error).__name__
            )
            await message.nak(delay=RETRY_AFTER_S)
            return False
        self.counts.handled += 1
        await message.ack()
        return True


async def _store(connection: NatsConnection, change: Change) -> None:
    jetstream = connection.client.jetstream()
    await jetstream.publish(subject_of(change.envelope), change.encode(), timeout=PUBLISH_TIMEOUT_S)


async def _store_once_possible(connection: NatsConnection, change: Change) -> None:
    """Wait a moment for who makes the stream: at a first start it may come after what it is to take."""
    end = asyncio.get_running_loop().time() + PUBLISH_TIMEOUT_S
    while True:
        try:
            await _store(connection, change)
        except nats.js.errors.NoStreamResponseError:
            if asyncio.get_running_loop().time() >= end:
                raise
            await asyncio.sleep(STREAM_POLL_S)
        else:
            return

"""Pulling messages of one durable consumer over one connection.

A pull request asks for up to BATCH messages and stays open until that many came or it expires, so a change is
delivered the moment it is stored. Requests are small: what a stopped process has been sent is redelivered only
after ack_wait. Idle heartbeats tell a quiet stream from one that is gone.
"""

import asyncio
import json
from types import TracebackType
from typing import Self

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from modelport_bus.connection import NatsConnection
from modelport_bus.errors import BusAwayError

BATCH = 16
EXPIRES_S = 5.0
HEARTBEAT_S = 1.0
_SILENCE_S = 2.5 * HEARTBEAT_S
_NANOSECONDS = 1_000_000_000
_IDLE_HEARTBEAT = "100"
_REQUEST_ENDED = {"404", "408"}
_BATCH_COMPLETED = "Batch Completed"


class Puller:
    """An inbox and the one pull request that is open on it. Raises BusAwayError when nothing more will come."""

    def __init__(self, connection: NatsConnection, stream: str, durable: str) -> None:
        self._connection = connection
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._inbox = connection.client.new_inbox()
        self._arrived: asyncio.Queue[Msg] = asyncio.Queue()
        self._outstanding = 0
        self._subscription: Subscription | None = None

    async def __aenter__(self) -> Self:
        self._subscription = await self._connection.client.subscribe(self._inbox, cb=self._arrived.put)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._subscription is not None and self._connection.client.is_connected:
            await self._subscription.unsubscribe()

    async def next(self) -> list[Msg]:
        """Wait for messages; an empty list says that a request ended without any."""
        if self._outstanding == 0:
            await self._request()
        messages = [message for message in await self._take() if self._is_data(message)]
        self._outstanding = max(0, self._outstanding - len(messages))
        return messages

    async def _request(self) -> None:
        self._outstanding = BATCH
        request = {
            "batch": BATCH,
            "expires": int(EXPIRES_S * _NANOSECONDS),
            "idle_heartbeat": int(HEARTBEAT_S * _NANOSECONDS),
        }
        await self._connection.client.publish(self._subject, json.dumps(request).encode(), self._inbox)

    async def _take(self) -> list[Msg]:
        try:
            async with asyncio.timeout(_SILENCE_S):
                messages = [await self._connection.during(self._arrived.get())]
        except TimeoutError:
            raise BusAwayError("no heartbeat: the consumer or its stream is gone") from None
        while not self._arrived.empty():
            messages.append(self._arrived.get_nowait())
        return messages

    def _is_data(self, message: Msg) -> bool:
        status = (message.headers or {}).get("Status")
        if status is None:
            return True
        if status == _IDLE_HEARTBEAT:
            return False
        description = (message.headers or {}).get("Description", "")
        if status not in _REQUEST_ENDED and description != _BATCH_COMPLETED:
            raise BusAwayError(f"pull refused: {status} {description}")
        self._outstanding = 0
        return False

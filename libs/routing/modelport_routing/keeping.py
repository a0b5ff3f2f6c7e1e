"""Keeping a connection to Redis open: again and again, with pauses that grow, saying so once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import hiredis

from modelport_routing.connection import Connection, ConnectionLostError, RedisAddress

logger = logging.getLogger(__name__)

FIRST_RETRY_S = 0.01
MAX_RETRY_S = 0.5
_CHECK_EVERY_S = 0.25


async def keep_connected(
    address: RedisAddress, connect: Callable[[], Awaitable[Connection]], disconnected: Callable[[], None]
) -> None:
    """Call `connect`, watch what it returns, call `disconnected` when that has ended; for ever."""
    retry_s, away = FIRST_RETRY_S, False
    while True:
        try:
            connection = await connect()
        except (OSError, TimeoutError, ConnectionLostError, hiredis.ReplyError) as error:
            if not away:
                reason = str(error) or type(error).__name__
                logger.warning("Redis at %s is away, trying again: %s", address, reason)
                away = True
            await asyncio.sleep(retry_s)
            retry_s = min(retry_s * 2, MAX_RETRY_S)
            continue
        except Exception:
            # Whatever it is (an answer that is not Redis', say), nobody else would ever connect again.
            logger.exception("connecting to Redis at %s failed, trying again", address)
            away = True
            await asyncio.sleep(MAX_RETRY_S)
            continue
        retry_s, away = FIRST_RETRY_S, False
        # Before anybody learns that a reply will not come: whoever asks again must not be given this connection.
        connection.lost.add_done_callback(lambda _: disconnected())
        try:
            while not connection.lost.done():
                await asyncio.wait([connection.lost], timeout=_CHECK_EVERY_S)
                connection.check()
        finally:
            connection.abort()
        logger.warning("connection to Redis at %s lost", address)

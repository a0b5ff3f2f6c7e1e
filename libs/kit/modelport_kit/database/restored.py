"""Noticing that a database went back to a backup (docs/propagation.md, rule 2).

A restored database would give its revisions a second time, to other changes, and whoever holds the first ones would
refuse the second. Somebody who has seen a later revision than there is proves it: the stream, asked at the start of a
service, and the routing table, told by gateways. The database then is another incarnation, and passes over the
revisions that were seen.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable

from sqlalchemy import func, select, update

from modelport_contracts.records import Envelope
from modelport_contracts.sync import Position
from modelport_kit.database.changes import current_revision
from modelport_kit.database.engine import Database
from modelport_kit.database.tables import OUTBOX, REVISION

logger = logging.getLogger(__name__)

ASK_S = 2.0
"""How long the start of a service waits for the stream to say what it last took."""


async def seen(database: Database, position: Position) -> Position:
    """Compare with what somebody has seen of this database; return where it is."""
    here = await _position(database)
    if here.incarnation == position.incarnation and here.revision < position.revision:
        await _renew(database, here, position.revision)
        here = await _position(database)
    return here


async def compare_with_stream(database: Database, newest: Callable[[], Awaitable[Envelope | None]]) -> None:
    """Ask the stream how far it has seen this database, before anything is written to it.

    `newest` returns the envelope that the stream took last from this source. Another incarnation than ours there
    means a backup from before a former restore. A bus that is away is no reason not to start: the gateways tell.
    """
    try:
        async with asyncio.timeout(ASK_S):
            envelope = await newest()
    except OSError:  # what is away, and the time that is up
        logger.warning("the bus is away: whether this database is a restored one is for the gateways to find out")
        return
    here = await _position(database)
    if envelope is None or here.revision == 0:
        return
    if envelope.incarnation != here.incarnation or envelope.revision > here.revision:
        await _renew(database, here, max(here.revision, envelope.revision))


async def _position(database: Database) -> Position:
    async with database.read() as connection:
        incarnation, revision = await current_revision(connection)
    return Position(incarnation=incarnation, revision=revision)


async def _renew(database: Database, here: Position, revision: int) -> None:
    """Become another incarnation that has passed over the revisions up to `revision`, once for all who ask."""
    unchanged = (REVISION.c.incarnation == here.incarnation) & (REVISION.c.n <= revision)
    # pruned_through: of what is passed over nobody can tell what changed
    renewed = {"incarnation": secrets.token_hex(16), "n": revision, "pruned_through": revision}
    async with database.write() as write:
        if not (await write.execute(update(REVISION).where(unchanged).values(renewed))).rowcount:
            return
        # published once more, under the new incarnation: gateways learn of it at once
        last = select(func.max(OUTBOX.c.id)).scalar_subquery()
        await write.execute(update(OUTBOX).where(OUTBOX.c.id == last).values(published_at=None, claimed_until=0))
    logger.warning(
        "this database was restored: it is at revision %d, and %d was seen; routing tables are made anew from it",
        here.revision,
        revision,
    )

"""The wrapped data keys of stored values: which key-encryption keys they need, and wrapping them anew.

Nothing here touches a value, its version or a marker, so that gateways notice nothing of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, select, update

from modelport_kit.audit import Event
from modelport_kit.database.engine import Database
from modelport_secrets.sealing import WrappedKey
from modelport_secrets.tables import SECRET


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A secret's wrapped data key. `place` is for the log: workspace/name."""

    secret_id: str
    place: str
    key: WrappedKey


class WrappedKeys:
    """Those of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def kek_ids(self) -> list[str]:
        """Return the ids of all key-encryption keys that stored values need. Raises AwayError."""
        statement = select(SECRET.c.kek_id).where(SECRET.c.ciphertext.is_not(None)).distinct().order_by(SECRET.c.kek_id)
        return [row.kek_id for row in await self._database.fetch(statement)]

    async def under(self, kek_id: str, limit: int) -> list[StoredKey]:
        """Return some keys that a key-encryption key wraps. Raises AwayError."""
        return await self._read(SECRET.c.kek_id == kek_id, limit)

    async def not_under(self, kek_id: str, after: str, limit: int) -> list[StoredKey]:
        """Return keys that others wrap, in the order of the secrets' ids. Raises AwayError."""
        return await self._read(and_(SECRET.c.kek_id != kek_id, SECRET.c.id > after), limit)

    async def _read(self, condition: ColumnElement[bool], limit: int) -> list[StoredKey]:
        columns = (SECRET.c.id, SECRET.c.workspace, SECRET.c.name, SECRET.c.kek_id, SECRET.c.wrapped_key)
        statement = select(*columns).where(SECRET.c.ciphertext.is_not(None), condition)
        rows = await self._database.fetch(statement.order_by(SECRET.c.id).limit(limit))
        return [
            StoredKey(row.id, f"{row.workspace}/{row.name}", WrappedKey(row.kek_id, row.wrapped_key)) for row in rows
        ]

    async def replace(self, renewed: Sequence[tuple[StoredKey, WrappedKey]]) -> int:
        """Put keys wrapped anew in place of what they were; return how many. Raises AwayError.

        Where a key is another by now, as its secret was given a new value or somebody else was here, it stays.
        """
        count = 0
        async with self._database.write() as write:
            for stored, fresh in renewed:
                as_read = and_(
                    SECRET.c.id == stored.secret_id,
                    SECRET.c.kek_id == stored.key.kek_id,
                    SECRET.c.wrapped_key == stored.key.wrapped,
                )
                changes = {"kek_id": fresh.kek_id, "wrapped_key": fresh.wrapped}
                count += (await write.execute(update(SECRET).where(as_read).values(changes))).rowcount
            if count:
                kek_id = renewed[0][1].kek_id
                after = {"kek_id": kek_id, "rotated_secrets": count}
                write.tell(Event("rotate", "encryption-key", None, kek_id, after=after))
        return count

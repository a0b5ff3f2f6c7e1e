"""A database of a few things, for tests of the plumbing: its tables and one table of records."""

from sqlalchemy import BigInteger, Column, MetaData, String, Table, insert, text

from modelport_kit.database.engine import Database
from modelport_kit.database.tables import REVISION, add_plumbing_tables

METADATA = MetaData()
add_plumbing_tables(METADATA)
THING = Table(
    "thing",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("revision", BigInteger, nullable=False, server_default=text("0")),
)


async def create_tables(database: Database) -> None:
    """Make the tables and the counter's row."""
    async with database.engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
        await connection.execute(insert(REVISION).values(id=1, n=0, incarnation="one", pruned_through=0))


async def put(database: Database, *names: str, text: str = "") -> int:
    """Write things in one transaction, each with its row; returns the revision."""
    async with database.write() as write:
        for name in names:
            exists = (await write.execute(THING.select().where(THING.c.id == name))).first()
            if exists is None:
                await write.execute(insert(THING).values(id=name))
            write.put(f"provider/default/{name}", f"{name} {text}".encode(), row=(THING, name))
    return write.revision


async def remove(database: Database, name: str) -> int:
    """Remove a thing; returns the revision."""
    async with database.write() as write:
        await write.execute(THING.delete().where(THING.c.id == name))
        write.delete(f"provider/default/{name}")
    return write.revision

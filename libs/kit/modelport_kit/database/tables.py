"""The two tables that every service's database has beside its own: the revision counter and the outbox."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

BIG_ID = BigInteger().with_variant(Integer(), "sqlite")
"""A 64-bit id; SQLite makes only INTEGER PRIMARY KEY an automatic one."""


def add_plumbing_tables(metadata: MetaData) -> tuple[Table, Table]:
    """Add `revision` and `outbox` to a service's metadata."""
    revision = Table(
        "revision",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("n", BigInteger, nullable=False),
        Column("incarnation", String(32), nullable=False),
        Column("pruned_through", BigInteger, nullable=False, server_default=text("0")),
    )
    outbox = Table(
        "outbox",
        metadata,
        Column("id", BIG_ID, primary_key=True, autoincrement=True),
        Column("key", String(255), nullable=False),
        Column("revision", BigInteger, nullable=False),
        Column("operation", String(8), nullable=False),
        Column("index_entries", Text, nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column("created_at", Float, nullable=False),
        Column("claimed_until", Float, nullable=False, server_default=text("0")),
        Column("published_at", Float, nullable=True),
        Column("refusals", Integer, nullable=False, server_default=text("0")),
        Column("set_aside", Boolean, nullable=False, server_default=text("false")),
    )
    Index("ix_outbox_key_revision", outbox.c.key, outbox.c.revision)
    Index("ix_outbox_revision", outbox.c.revision)
    Index(
        "ix_outbox_unpublished",
        outbox.c.id,
        sqlite_where=text("published_at IS NULL"),
        postgresql_where=text("published_at IS NULL"),
    )
    return revision, outbox


_plumbing = MetaData()
REVISION, OUTBOX = add_plumbing_tables(_plumbing)
"""The same two tables for statements that do not care whose database they run in."""

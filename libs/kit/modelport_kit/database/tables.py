"""The tables that every service's database has beside its own: the revision counter, the outbox, the audit trail."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
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

from modelport_kit.audit import LONGEST

BIG_ID = BigInteger().with_variant(Integer(), "sqlite")
"""A 64-bit id; SQLite makes only INTEGER PRIMARY KEY an automatic one."""


def add_plumbing_tables(metadata: MetaData) -> tuple[Table, Table, Table]:
    """Add `revision`, `outbox` and `audit` to a service's metadata."""
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
    audit = Table(
        "audit",
        metadata,
        Column("id", BIG_ID, primary_key=True, autoincrement=True),
        Column("created_at", DateTime, nullable=False),
        Column("service", String(LONGEST["service"]), nullable=False),
        Column("actor", String(LONGEST["actor"]), nullable=True),
        Column("on_behalf_of", String(LONGEST["actor"]), nullable=True),
        Column("address", String(LONGEST["address"]), nullable=True),
        Column("request_id", String(LONGEST["request_id"]), nullable=True),
        Column("action", String(LONGEST["action"]), nullable=False),
        Column("kind", String(LONGEST["kind"]), nullable=False),
        Column("workspace", String(LONGEST["workspace"]), nullable=True),
        Column("name", String(LONGEST["name"]), nullable=False),
        Column("outcome", String(LONGEST["outcome"]), nullable=False),
        Column("before", JSON(none_as_null=True), nullable=True),
        Column("after", JSON(none_as_null=True), nullable=True),
    )
    Index("ix_audit_created_at", audit.c.created_at, audit.c.id)
    return revision, outbox, audit


_plumbing = MetaData()
REVISION, OUTBOX, AUDIT = add_plumbing_tables(_plumbing)
"""The same tables for statements that do not care whose database they run in."""

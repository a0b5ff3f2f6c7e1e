"""The secrets service's tables."""

from sqlalchemy import BigInteger, Column, DateTime, LargeBinary, MetaData, String, Table, Text, UniqueConstraint, text

from modelport_kit.database.tables import add_plumbing_tables

METADATA = MetaData()
add_plumbing_tables(METADATA)

SECRET = Table(
    "secret",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("workspace", String(63), nullable=False),
    Column("workspace_id", String(64), nullable=True),
    Column("name", String(63), nullable=False),
    Column("description", Text, nullable=True),
    Column("created_at", DateTime, nullable=False),
    Column("updated_at", DateTime, nullable=False),
    Column("revision", BigInteger, nullable=False, server_default=text("0")),
    Column("kek_id", String(255), nullable=True),
    Column("wrapped_key", LargeBinary, nullable=True),
    Column("ciphertext", LargeBinary, nullable=True),
    UniqueConstraint("workspace", "name", name="uq_secret_workspace_name"),
)
"""A row's revision is its value's version: only a change of the value moves it. A built-in secret whose value is
not set has no ciphertext."""

"""Steps that the migrations of several services share."""

import sqlalchemy as sa
from alembic import op


def create_plumbing_tables() -> None:
    """Create the revision counter and the outbox, as of the first schema."""
    op.create_table(
        "revision",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("incarnation", sa.String(32), nullable=False),
        sa.Column("pruned_through", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("operation", sa.String(8), nullable=False),
        sa.Column("index_entries", sa.Text, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("claimed_until", sa.Float, nullable=False, server_default=sa.text("0")),
        sa.Column("published_at", sa.Float, nullable=True),
        sa.Column("refusals", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("set_aside", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_key_revision", "outbox", ["key", "revision"])
    op.create_index("ix_outbox_revision", "outbox", ["revision"])
    unpublished = sa.text("published_at IS NULL")
    op.create_index("ix_outbox_unpublished", "outbox", ["id"], sqlite_where=unpublished, postgresql_where=unpublished)

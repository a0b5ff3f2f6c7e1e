"""The first schema."""

import sqlalchemy as sa
from alembic import op

from modelport_kit.database.migrations import create_plumbing_tables

revision = "secrets_0001"
down_revision = None


def upgrade() -> None:
    create_plumbing_tables()
    op.create_table(
        "secret",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("workspace", sa.String(63), nullable=False),
        sa.Column("workspace_id", sa.String(64), nullable=True),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("description", sa.Text, nullable=True),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("kek_id", sa.String(16), nullable=True),
        sa.Column("wrapped_key", sa.LargeBinary, nullable=True),
        sa.Column("ciphertext", sa.LargeBinary, nullable=True),
        sa.UniqueConstraint("workspace", "name", name="uq_secret_workspace_name"),
    )


def downgrade() -> None:
    op.drop_table("secret")
    op.drop_table("outbox")
    op.drop_table("revision")

"""Ids of key-encryption keys may be names: of a key in Vault and its version."""

import sqlalchemy as sa
from alembic import op

revision = "secrets_0003"
down_revision = "secrets_0002"


def upgrade() -> None:
    with op.batch_alter_table("secret") as table:
        table.alter_column("kek_id", existing_type=sa.String(16), type_=sa.String(255))


def downgrade() -> None:
    with op.batch_alter_table("secret") as table:
        table.alter_column("kek_id", existing_type=sa.String(255), type_=sa.String(16))

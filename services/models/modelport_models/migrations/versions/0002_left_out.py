"""Which served ids have no room in their model's record."""

import sqlalchemy as sa
from alembic import op

revision = "models_0002"
down_revision = "models_0001"


def upgrade() -> None:
    op.add_column("served_model", sa.Column("left_out", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("served_model", "left_out")

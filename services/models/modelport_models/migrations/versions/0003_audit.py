"""The audit trail."""

from modelport_kit.database.migrations import create_audit_table, drop_audit_table

revision = "models_0003"
down_revision = "models_0002"


def upgrade() -> None:
    create_audit_table()


def downgrade() -> None:
    drop_audit_table()

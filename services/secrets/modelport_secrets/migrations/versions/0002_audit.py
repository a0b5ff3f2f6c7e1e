"""The audit trail."""

from modelport_kit.database.migrations import create_audit_table, drop_audit_table

revision = "secrets_0002"
down_revision = "secrets_0001"


def upgrade() -> None:
    create_audit_table()


def downgrade() -> None:
    drop_audit_table()

"""The first schema."""

import sqlalchemy as sa
from alembic import op

from modelport_kit.database.migrations import create_plumbing_tables

revision = "models_0001"
down_revision = None


def _resource(name: str, *columns: "sa.Column[object]") -> None:
    op.create_table(
        name,
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("workspace", sa.String(63), sa.ForeignKey("workspace.name", ondelete="CASCADE"), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("project", sa.String(255)),
        *columns,
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.UniqueConstraint("workspace", "name", name=f"uq_{name}_workspace_name"),
    )


def upgrade() -> None:
    create_plumbing_tables()
    op.create_table(
        "workspace",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(63), nullable=False, unique=True),
        sa.Column("description", sa.Text),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("created_by", sa.String(255)),
        sa.Column("updated_at", sa.DateTime, nullable=False),
        sa.Column("updated_by", sa.String(255)),
        sa.Column("revision", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    )
    _resource(
        "provider",
        sa.Column("description", sa.Text),
        sa.Column("host_url", sa.String(2048), nullable=False),
        sa.Column("api_key_secret_name", sa.String(63)),
        sa.Column("enabled_models", sa.JSON),
        sa.Column("default_extra_headers", sa.JSON),
        sa.Column("required_extra_headers", sa.JSON),
        sa.Column("default_extra_body", sa.JSON),
        sa.Column("required_extra_body", sa.JSON),
        sa.Column("auth_header_format", sa.Text),
        sa.Column("options", sa.JSON),
        sa.Column("model_deployment_id", sa.String(255)),
        sa.Column("auth_context", sa.JSON),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("status_message", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("generation", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column("next_probe_at", sa.Float, nullable=False, server_default=sa.text("0")),
        sa.Column("probe_claimed_until", sa.Float, nullable=False, server_default=sa.text("0")),
        sa.Column("probe_failures", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("failing_since", sa.Float),
    )
    op.create_index("ix_provider_next_probe_at", "provider", ["next_probe_at"])
    op.create_index("ix_provider_secret", "provider", ["workspace", "api_key_secret_name"])
    op.create_table(
        "served_model",
        sa.Column("provider_id", sa.String(64), sa.ForeignKey("provider.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("served_id", sa.String(512), primary_key=True),
        sa.Column("workspace", sa.String(63), nullable=False),
        sa.Column("entity", sa.String(63), nullable=False),
    )
    op.create_index("ix_served_model_entity", "served_model", ["workspace", "entity"])
    _resource(
        "model",
        sa.Column("description", sa.Text),
        sa.Column("spec", sa.JSON),
        sa.Column("finetuning_type", sa.Text),
        sa.Column("fileset", sa.Text),
        sa.Column("trust_remote_code", sa.Boolean),
        sa.Column("base_model", sa.Text),
        sa.Column("api_endpoint", sa.JSON),
        sa.Column("backend_format", sa.String(32)),
        sa.Column("adapters", sa.JSON),
        sa.Column("prompt", sa.JSON),
        sa.Column("custom_fields", sa.JSON),
        sa.Column("ownership", sa.JSON),
        sa.Column("discovered", sa.Boolean, nullable=False),
    )
    _resource(
        "virtual_model",
        sa.Column("default_model_entity", sa.String(128)),
        sa.Column("models", sa.JSON),
        sa.Column("request_middleware", sa.JSON),
        sa.Column("response_middleware", sa.JSON),
        sa.Column("post_response_middleware", sa.JSON),
        sa.Column("override_proxy", sa.JSON),
        sa.Column("options", sa.JSON),
        sa.Column("autoprovisioned", sa.Boolean, nullable=False),
        sa.Column("created_by", sa.String(255)),
        sa.Column("updated_by", sa.String(255)),
    )


def downgrade() -> None:
    for table in ("virtual_model", "model", "served_model", "provider", "workspace", "outbox", "revision"):
        op.drop_table(table)

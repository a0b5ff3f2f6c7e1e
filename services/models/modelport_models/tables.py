"""The models service's tables. A row's revision is that of its record in the routing table."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from modelport_kit.database.tables import add_plumbing_tables

METADATA = MetaData()
add_plumbing_tables(METADATA)


def _json() -> JSON:
    return JSON(none_as_null=True)


def _resource(name: str, *columns: Column[object]) -> Table:
    """A table of named things in workspaces."""
    return Table(
        name,
        METADATA,
        Column("id", String(64), primary_key=True),
        Column("workspace", String(63), ForeignKey("workspace.name", ondelete="CASCADE"), nullable=False),
        Column("name", String(64), nullable=False),
        Column("project", String(255)),
        *columns,
        Column("created_at", DateTime, nullable=False),
        Column("updated_at", DateTime, nullable=False),
        Column("revision", BigInteger, nullable=False, server_default=text("0")),
        UniqueConstraint("workspace", "name", name=f"uq_{name}_workspace_name"),
    )


WORKSPACE = Table(
    "workspace",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("name", String(63), nullable=False, unique=True),
    Column("description", Text),
    Column("created_at", DateTime, nullable=False),
    Column("created_by", String(255)),
    Column("updated_at", DateTime, nullable=False),
    Column("updated_by", String(255)),
    Column("revision", BigInteger, nullable=False, server_default=text("0")),
)

PROVIDER = _resource(
    "provider",
    Column("description", Text),
    Column("host_url", String(2048), nullable=False),
    Column("api_key_secret_name", String(63)),
    Column("enabled_models", _json()),
    Column("default_extra_headers", _json()),
    Column("required_extra_headers", _json()),
    Column("default_extra_body", _json()),
    Column("required_extra_body", _json()),
    Column("auth_header_format", Text),
    Column("options", _json()),
    Column("model_deployment_id", String(255)),
    Column("auth_context", _json()),
    Column("status", String(16), nullable=False),
    Column("status_message", Text, nullable=False, server_default=text("''")),
    # moves with every change that calls for a new probe; a probe's result counts only for the generation it probed
    Column("generation", Integer, nullable=False, server_default=text("1")),
    Column("next_probe_at", Float, nullable=False, server_default=text("0")),
    Column("probe_claimed_until", Float, nullable=False, server_default=text("0")),
    Column("probe_failures", Integer, nullable=False, server_default=text("0")),
    Column("failing_since", Float),
)
Index("ix_provider_next_probe_at", PROVIDER.c.next_probe_at)
Index("ix_provider_secret", PROVIDER.c.workspace, PROVIDER.c.api_key_secret_name)

SERVED = Table(
    "served_model",
    METADATA,
    Column("provider_id", String(64), ForeignKey("provider.id", ondelete="CASCADE"), primary_key=True),
    Column("served_id", String(512), primary_key=True),
    Column("workspace", String(63), nullable=False),
    Column("entity", String(63), nullable=False),
    # the entity's record has no room to name this provider; kept by store.catalog.follow
    Column("left_out", Boolean, nullable=False, server_default=false()),
)
Index("ix_served_model_entity", SERVED.c.workspace, SERVED.c.entity)

MODEL = _resource(
    "model",
    Column("description", Text),
    Column("spec", _json()),
    Column("finetuning_type", Text),
    Column("fileset", Text),
    Column("trust_remote_code", Boolean),
    Column("base_model", Text),
    Column("api_endpoint", _json()),
    Column("backend_format", String(32)),
    Column("adapters", _json()),
    Column("prompt", _json()),
    Column("custom_fields", _json()),
    Column("ownership", _json()),
    # made by discovery and never touched by a user: goes when nobody serves it any more
    Column("discovered", Boolean, nullable=False),
)

VIRTUAL_MODEL = _resource(
    "virtual_model",
    Column("default_model_entity", String(128)),
    Column("models", _json()),
    Column("request_middleware", _json()),
    Column("response_middleware", _json()),
    Column("post_response_middleware", _json()),
    Column("override_proxy", _json()),
    Column("options", _json()),
    Column("autoprovisioned", Boolean, nullable=False),
    Column("created_by", String(255)),
    Column("updated_by", String(255)),
)

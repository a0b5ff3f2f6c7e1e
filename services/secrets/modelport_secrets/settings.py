"""The secrets service's settings."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr

from modelport_kit.settings import ServiceSettings


def _stripped(value: object) -> object:
    return value.strip() or None if isinstance(value, str) else value


class SecretsSettings(ServiceSettings):
    """`MODELPORT_*` variables of the secrets service, and NGC_API_KEY."""

    database_url: str
    nats_url: str
    models_url: str
    kek_file: Path | None = None
    """The key-encryption key: 32 random bytes in base64, one line, readable by this service alone."""
    migrate_at_start: bool = True
    database_role: str | None = None
    """PostgreSQL's role that the service runs as, for a migration by another one, which then owns the tables."""
    ngc_api_key: Annotated[SecretStr | None, BeforeValidator(_stripped)] = Field(
        default=None, validation_alias="NGC_API_KEY"
    )
    """The value of the built-in secret system/ngc-api-key, without white space around it; a blank one is none."""

"""The secrets service's settings."""

from pathlib import Path

from pydantic import Field, SecretStr

from modelport_kit.settings import ServiceSettings


class SecretsSettings(ServiceSettings):
    """`MODELPORT_*` variables of the secrets service, and NGC_API_KEY."""

    database_url: str
    nats_url: str
    models_url: str
    kek_file: Path | None = None
    """The key-encryption key: 32 random bytes in base64, one line, readable by this service alone."""
    migrate_at_start: bool = True
    ngc_api_key: SecretStr | None = Field(default=None, validation_alias="NGC_API_KEY")
    """The value of the built-in secret system/ngc-api-key."""

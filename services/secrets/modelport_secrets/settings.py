"""The secrets service's settings."""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from modelport_kit.settings import ServiceSettings, SettingsError
from modelport_secrets.keyring import KeyProvider, Keyring
from modelport_secrets.local_key import keys_from_environment, keys_from_file
from modelport_secrets.vault import VaultAccess, VaultKey

_Way = Literal["file", "environment", "vault"]
_VARIABLES: dict[_Way, str] = {
    "file": "MODELPORT_KEK_FILE",
    "environment": "MODELPORT_KEK",
    "vault": "MODELPORT_VAULT_ADDR",
}


def _stripped(value: object) -> object:
    return value.strip() or None if isinstance(value, str) else value


def _vault_address(value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("expected an address such as https://vault.example:8200")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError("token and keys would travel in clear; http is for an address of this machine, else use https")
    return value.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _vault_name(value: str) -> str:
    value = value.strip("/")
    if len(value) > 100 or not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)*", value, re.ASCII):
        raise ValueError("expected at most 100 letters, digits, dots, underscores and hyphens")
    return value


VaultName = Annotated[str, AfterValidator(_vault_name)]


class SecretsSettings(ServiceSettings):
    """`MODELPORT_*` variables of the secrets service, and NGC_API_KEY."""

    database_url: str
    nats_url: str
    models_url: str
    kek_file: Path | None = None
    """Key-encryption keys: each 32 random bytes in base64, one a line, readable by this service alone."""
    kek: Annotated[SecretStr | None, BeforeValidator(_stripped)] = None
    """The same, one after the other with white space between."""
    kek_first: _Way | None = None
    """Whose key wraps new data keys, where keys are given in several of these ways."""
    vault_addr: Annotated[str | None, AfterValidator(_vault_address), BeforeValidator(_stripped)] = None
    vault_token_file: Path | None = None
    vault_transit_key: VaultName | None = None
    vault_transit_mount: VaultName = "transit"
    vault_namespace: Annotated[str | None, BeforeValidator(_stripped)] = None
    vault_ca_file: Path | None = None
    migrate_at_start: bool = True
    database_role: str | None = None
    """PostgreSQL's role that the service runs as, for a migration by another one, which then owns the tables."""
    ngc_api_key: Annotated[SecretStr | None, BeforeValidator(_stripped)] = Field(
        default=None, validation_alias="NGC_API_KEY"
    )
    """The value of the built-in secret system/ngc-api-key, without white space around it; a blank one is none."""

    def keyring(self) -> Keyring:
        """Load the key-encryption keys; nothing connects. Raises SettingsError."""
        found: dict[_Way, list[KeyProvider]] = {}
        if self.kek_file is not None:
            found["file"] = [*keys_from_file(self.kek_file)]
        if self.kek is not None:
            found["environment"] = [*keys_from_environment(self.kek.get_secret_value())]
        if self.vault_addr is not None:
            found["vault"] = [VaultKey(self._vault_access(self.vault_addr))]
        if not found:
            raise SettingsError(
                "no key-encryption key is given: set MODELPORT_KEK_FILE, MODELPORT_KEK or MODELPORT_VAULT_ADDR"
            )
        first = self.kek_first
        if first is None and len(found) > 1:
            given = " and ".join(_VARIABLES[kind] for kind in found)
            raise SettingsError(
                f"MODELPORT_KEK_FIRST is not set, and {given} are: it says whose key new secrets are stored under,"
                f" {' or '.join(found)}"
            )
        if first is not None and first not in found:
            raise SettingsError(f"MODELPORT_KEK_FIRST is {first}, and {_VARIABLES[first]} is not set")
        order = sorted(found, key=lambda way: way != first)
        return Keyring([one for way in order for one in found[way]])

    def _vault_access(self, address: str) -> VaultAccess:
        if self.vault_token_file is None or self.vault_transit_key is None:
            lacking = "TOKEN_FILE" if self.vault_token_file is None else "TRANSIT_KEY"
            raise SettingsError(f"MODELPORT_VAULT_{lacking} is not set, and MODELPORT_VAULT_ADDR is")
        return VaultAccess(
            address,
            self.vault_token_file,
            self.vault_transit_key,
            self.vault_transit_mount,
            self.vault_namespace,
            self.vault_ca_file,
        )

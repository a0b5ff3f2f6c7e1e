"""Keys, tokens and passwords of a local stack: made at first start, checked at every start."""

import base64
import binascii
import hashlib
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelport_cli.stack.datadir import DataFolder, write_private
from modelport_cli.stack.errors import StackError

SCOPES = {
    "gateway": ("reveal", "sync"),
    "front-door": ("api",),
    "models": ("api",),
    "secrets": ("api",),
}
"""Who calls services, and what each caller may ask of them."""
NATS_USERS = ("secrets", "models", "gateway")
"""Who logs in to NATS, each with a password of its own."""
KEK_BYTES = 32

_TOKEN = re.compile(r"[0-9a-f]{64}")
_NATS_PASSWORD = re.compile(r"mp_[0-9a-f]{64}")


@dataclass(frozen=True)
class Keys:
    """Where the key files are, and the passwords that become part of addresses."""

    folder: Path
    nats_passwords: Mapping[str, str] = field(repr=False)
    """By the kind of service."""
    valkey_password: str = field(repr=False)

    @property
    def kek(self) -> Path:
        """The key-encryption key's file."""
        return self.folder / "kek"

    @property
    def trust(self) -> Path:
        """The file that tells services whose tokens to accept."""
        return self.folder / "trust.json"

    def token(self, caller: str) -> Path:
        """Return the file of a caller's own service token."""
        return self.folder / f"{caller}.token"


def ensure_keys(data: DataFolder) -> Keys:
    """Make the key files that are missing and check the others.

    Raises:
        StackError: a key file is damaged, or the key of existing secrets is gone.

    """
    folder = data.keys
    kek = folder / "kek"
    stored = data.root / "secrets" / "secrets.db"
    if not kek.exists() and stored.exists():
        raise StackError(
            f"{kek} is missing, and the secrets in {stored} cannot be read without it: restore it from a backup"
            f" (or move {stored} away to begin without the stored secrets)"
        )
    try:
        _ensure(kek, _new_kek, _is_kek)
        tokens = {caller: _ensure(folder / f"{caller}.token", _new_token, _is_token) for caller in SCOPES}
        nats = {
            user: _ensure(folder / f"nats-{user}.password", _new_nats_password, _is_nats_password)
            for user in NATS_USERS
        }
        valkey = _ensure(folder / "valkey.password", _new_token, _is_token)
        keys = Keys(folder, nats_passwords=nats, valkey_password=valkey)
        # The one that all services shared in former releases; it opens nothing any more.
        (folder / "nats.password").unlink(missing_ok=True)
        # Written anew at each start: it follows from the tokens and can then never disagree with them.
        write_private(keys.trust, json.dumps(trust_entries(tokens), indent=1) + "\n")
    except OSError as error:
        raise StackError(
            f"{error.filename or folder} cannot be used: {error.strerror}; restore it from a backup"
        ) from None
    return keys


def trust_entries(tokens: dict[str, str]) -> list[dict[str, object]]:
    """Build the trust file's contents: of each token only its digest."""
    return [
        {"caller": caller, "scopes": list(SCOPES[caller]), "sha256": hashlib.sha256(token.encode()).hexdigest()}
        for caller, token in tokens.items()
    ]


def _ensure(path: Path, new: Callable[[], str], valid: Callable[[str], bool]) -> str:
    if not path.exists():
        write_private(path, new() + "\n")
    path.chmod(0o600)
    text = path.read_text(errors="replace").strip()
    if not valid(text):
        advice = "restore it from a backup"
        if path.name != "kek":
            advice += ", or remove it to have a new one made"
        raise StackError(f"the key file {path} is damaged: {advice}")
    return text


def _new_kek() -> str:
    return base64.b64encode(secrets.token_bytes(KEK_BYTES)).decode()


def _is_kek(text: str) -> bool:
    """Say whether a file holds keys, one a line: several while a rotation is on its way (docs/encryption.md)."""
    try:
        return bool(text) and all(len(base64.b64decode(key, validate=True)) == KEK_BYTES for key in text.split())
    except (binascii.Error, ValueError):
        return False


def _new_token() -> str:
    return secrets.token_hex(32)


def _new_nats_password() -> str:
    # The letters in front keep NATS' configuration language from taking it for a number.
    return f"mp_{secrets.token_hex(32)}"


def _is_nats_password(text: str) -> bool:
    return _NATS_PASSWORD.fullmatch(text) is not None


def _is_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None

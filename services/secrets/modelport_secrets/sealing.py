"""Envelope encryption: a fresh data key for every version, wrapped by the key-encryption key.

AES-256-GCM (NIST SP 800-38D). The additional data binds a value to its workspace, name and version, so that a
row copied over another cannot be opened. Pure but for the random source.
"""

import base64
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from modelport_kit.settings import SettingsError, read_secret_file

_NONCE_BYTES = 12


class UnsealError(Exception):
    """A value cannot be opened: it was altered, or sealed under another key."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """A data key, in clear and wrapped. Made before the transaction takes its revision."""

    kek_id: str
    clear: bytes
    wrapped: bytes

    def __repr__(self) -> str:
        return f"DataKey(kek_id={self.kek_id!r})"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed value as it is stored."""

    kek_id: str
    wrapped_key: bytes
    ciphertext: bytes


class Sealer:
    """Seals and opens values under one key-encryption key."""

    def __init__(self, kek: bytes) -> None:
        self._kek = AESGCM(kek)
        self.kek_id = hashlib.sha256(b"modelport kek id" + kek).hexdigest()[:16]

    @classmethod
    def from_file(cls, path: Path | None) -> "Sealer":
        """Load the key-encryption key. Raises SettingsError."""
        text = read_secret_file(path, "MODELPORT_KEK_FILE")
        try:
            kek = base64.b64decode(text, validate=True)
        except ValueError:
            kek = b""
        if len(kek) != 32:
            raise SettingsError(f"MODELPORT_KEK_FILE: {path} does not hold 32 bytes in base64")
        return cls(kek)

    def new_data_key(self) -> DataKey:
        """Make and wrap a data key."""
        clear = AESGCM.generate_key(bit_length=256)
        nonce = os.urandom(_NONCE_BYTES)
        return DataKey(self.kek_id, clear, nonce + self._kek.encrypt(nonce, clear, self.kek_id.encode()))

    def seal(self, key: DataKey, value: str, workspace: str, name: str, version: int) -> Sealed:
        """Seal a value as one version of one secret."""
        nonce = os.urandom(_NONCE_BYTES)
        body = AESGCM(key.clear).encrypt(nonce, value.encode(), _binding(workspace, name, version))
        return Sealed(key.kek_id, key.wrapped, nonce + body)

    def unseal(self, sealed: Sealed, workspace: str, name: str, version: int) -> str:
        """Open a value. Raises UnsealError."""
        if sealed.kek_id != self.kek_id:
            raise UnsealError(
                f"it was sealed under key-encryption key {sealed.kek_id}; MODELPORT_KEK_FILE holds {self.kek_id}"
            )
        wrapped, body = sealed.wrapped_key, sealed.ciphertext
        try:
            clear = self._kek.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], self.kek_id.encode())
            value = AESGCM(clear).decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], _binding(workspace, name, version))
        except (InvalidTag, ValueError):  # ValueError where so much is missing that not even a nonce is left
            raise UnsealError("the stored value was altered") from None
        return value.decode()


def _binding(workspace: str, name: str, version: int) -> bytes:
    # names cannot hold a slash, so this is unambiguous
    return f"modelport secret/{workspace}/{name}/{version}".encode()

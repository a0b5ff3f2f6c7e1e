"""Sealing: a value encrypted under a fresh data key, which is stored beside it in wrapped form (keyring.py).

AES-256-GCM (NIST SP 800-38D). The additional data binds a value to its workspace, name and version, so that a
row copied over another cannot be opened. Pure but for the random source.
"""

import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class UnsealError(Exception):
    """A value cannot be opened: it was altered, or sealed under another key."""


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key as it is stored, and which key-encryption key wraps it."""

    kek_id: str
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class DataKey:
    """A data key, in clear and wrapped. Made before the transaction takes its revision."""

    clear: bytes
    stored: WrappedKey

    def __repr__(self) -> str:
        return f"DataKey(kek_id={self.stored.kek_id!r})"


def new_clear_key() -> bytes:
    """Make the 256 bits of a data key."""
    return AESGCM.generate_key(bit_length=256)


def seal(clear_key: bytes, value: str, workspace: str, name: str, version: int) -> bytes:
    """Seal a value as one version of one secret."""
    return encrypt(clear_key, value.encode(), _binding(workspace, name, version))


def unseal(clear_key: bytes, sealed: bytes, workspace: str, name: str, version: int) -> str:
    """Open a value. Raises UnsealError."""
    return decrypt(clear_key, sealed, _binding(workspace, name, version)).decode()


def encrypt(key: bytes, clear: bytes, binding: bytes) -> bytes:
    """Encrypt under a fresh nonce, which comes first."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, clear, binding)


def decrypt(key: bytes, sealed: bytes, binding: bytes) -> bytes:
    """Undo `encrypt`. Raises UnsealError."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], binding)
    except (InvalidTag, ValueError):  # ValueError where so much is missing that not even a nonce is left
        raise UnsealError("the stored value was altered") from None


def _binding(workspace: str, name: str, version: int) -> bytes:
    # names cannot hold a slash, so this is unambiguous
    return f"modelport secret/{workspace}/{name}/{version}".encode()

"""Key-encryption keys that this service itself holds: from a file, or from the environment."""

import base64
import hashlib
import stat
from pathlib import Path

from modelport_kit.settings import SettingsError, read_secret_file
from modelport_secrets.sealing import WrappedKey, decrypt, encrypt

KEY_BYTES = 32


class LocalKey:
    """A key of 256 bits. Its id is a digest of it."""

    id_is_proof = True

    def __init__(self, key: bytes, origin: str) -> None:
        self._key = key
        self._origin = origin
        self.kek_id = hashlib.sha256(b"modelport kek id" + key).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"LocalKey({self.label})"

    @property
    def label(self) -> str:
        """Its id, and the setting it came from."""
        return f"{self.kek_id} ({self._origin})"

    def holds(self, kek_id: str) -> bool:
        """Compare ids."""
        return kek_id == self.kek_id

    async def newest(self) -> str:
        """Return its one id."""
        return self.kek_id

    async def wrap(self, clear: bytes) -> WrappedKey:
        """Wrap here."""
        return WrappedKey(self.kek_id, encrypt(self._key, clear, self.kek_id.encode()))

    async def unwrap(self, key: WrappedKey) -> bytes:
        """Open here. Raises UnsealError."""
        return decrypt(self._key, key.wrapped, self.kek_id.encode())

    async def rewrap(self, key: WrappedKey) -> WrappedKey:
        """Wrap anew, under the one version there is. Raises UnsealError."""
        return await self.wrap(await self.unwrap(key))

    async def close(self) -> None:
        """Nothing is open."""


def keys_from_file(path: Path) -> list[LocalKey]:
    """Load a file's keys. Raises SettingsError, also for a file that others may read."""
    text = read_secret_file(path, "MODELPORT_KEK_FILE")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise SettingsError(
            f"MODELPORT_KEK_FILE: others than its owner may read or change {path} (mode {mode:04o}); run: "
            f"chmod 600 {path}"
        )
    return _keys(text, "MODELPORT_KEK_FILE", f"MODELPORT_KEK_FILE: {path} does")


def keys_from_environment(text: str) -> list[LocalKey]:
    """Load the keys that MODELPORT_KEK holds. Raises SettingsError."""
    return _keys(text, "MODELPORT_KEK", "MODELPORT_KEK does")


def _keys(text: str, origin: str, subject: str) -> list[LocalKey]:
    """Read keys with white space between them: one a line in files, one after the other in a variable."""
    keys: list[LocalKey] = []
    for word in text.split():
        try:
            key = base64.b64decode(word, validate=True)
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            which = f" (key {len(keys) + 1} of {len(text.split())})" if len(text.split()) > 1 else ""
            raise SettingsError(f"{subject} not hold {KEY_BYTES} bytes in base64{which}")
        keys.append(LocalKey(key, origin))
    if not keys:
        raise SettingsError(f"{subject} not hold a key")
    return keys

"""The snapshot's file: what a gateway knew, encrypted as a whole (docs/propagation.md, Last known good).

A first line says in the clear whose file it is; a nonce and the AES-256-GCM ciphertext follow, which also
authenticates that line. Inside are JSON lines: when it was taken, then a line for each record, index and value.
"""

import base64
import binascii
import contextlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from modelport_contracts.records import SOURCE_OF_KIND
from modelport_gateway.prepare.secrets import SecretValue
from modelport_kit.settings import SettingsError
from modelport_routing import Entry
from modelport_routing.entries import IndexEntry

KEY_BYTES = 32
MAX_BYTES = 1 << 30
CLOCK_SLACK_S = 3600.0
"""A snapshot may be of the future by so much: a clock that was set back must not take the snapshot away."""
_FORMAT = "modelport-snapshot-1"
_NONCE_BYTES = 12
_MAX_HEADER = 1024
_KINDS = frozenset(str(kind) for kind in SOURCE_OF_KIND)


class SnapshotRefusedError(Exception):
    """The file is not used; the text says why and what to do, and continues its path."""


@dataclass
class Snapshot:
    """What is in a file. Its repr shows numbers only."""

    written_at: float
    """Unix seconds: all of it was true then."""
    epoch: str | None
    records: list[Entry] = field(default_factory=list, repr=False)
    indexes: list[IndexEntry] = field(default_factory=list, repr=False)
    secrets: dict[str, SecretValue] = field(default_factory=dict, repr=False)
    """Values by record key."""


def parse_key(text: str) -> bytes:
    """Read MODELPORT_SNAPSHOT_KEY. Raises SettingsError, which does not show it."""
    with contextlib.suppress(binascii.Error, ValueError):
        key = base64.b64decode(text.strip(), validate=True)
        if len(key) == KEY_BYTES:
            return key
    raise SettingsError(
        "MODELPORT_SNAPSHOT_KEY must be 32 random bytes in base64; `openssl rand -base64 32` makes such a key"
    )


class SnapshotFile:
    """One gateway's file. Its methods block."""

    def __init__(self, path: Path, key: bytes, gateway_id: str) -> None:
        self.path = path
        self._cipher = AESGCM(key)
        self._header = json.dumps({"format": _FORMAT, "gateway": gateway_id}).encode() + b"\n"
        self._gateway_id = gateway_id

    def write(self, snapshot: Snapshot, is_true: Callable[[], bool] = lambda: True) -> bool:
        """Put a snapshot in place of the former one: after a crash there is one or the other. Raises OSError.

        Returns False, and leaves the former one, where `is_true` says at the last moment that it is no longer.
        """
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, b"\n".join(_lines(snapshot)), self._header)
        fresh = self.path.with_name(f"{self.path.name}.new")
        fresh.unlink(missing_ok=True)  # left by a crash
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o600)
                file.write(self._header + nonce)
                file.write(sealed)
                file.flush()
                os.fsync(descriptor)
            if not is_true():
                fresh.unlink()
                return False
            fresh.replace(self.path)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise
        self._sync_folder()
        return True

    def remove(self) -> None:
        """Take the file away: what it says is no longer so. Raises OSError."""
        self.path.unlink(missing_ok=True)
        self._sync_folder()

    def read(self, now: float, max_age_s: float) -> Snapshot | None:
        """Return the snapshot, None where there is no file. Raises SnapshotRefusedError."""
        try:
            raw = self._read_private()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SnapshotRefusedError(f"cannot be read: {error.strerror}") from None
        header, newline, _ = raw[:_MAX_HEADER].partition(b"\n")
        owner = _owner(header)
        if not newline or owner is None:
            raise SnapshotRefusedError("is no snapshot of this release")
        if owner != self._gateway_id:
            raise SnapshotRefusedError(
                f"belongs to gateway {owner!r}, and this is {self._gateway_id!r}: each gateway needs a file of its own"
            )
        start = len(header) + 1
        nonce, sealed = raw[start : start + _NONCE_BYTES], raw[start + _NONCE_BYTES :]
        try:
            plain = self._cipher.decrypt(nonce, sealed, raw[:start])
        except (InvalidTag, ValueError):
            raise SnapshotRefusedError(
                "cannot be decrypted: MODELPORT_SNAPSHOT_KEY is not the key it was written with, or it was changed"
            ) from None
        snapshot = _parse(plain)
        age_s = now - snapshot.written_at
        if age_s > max_age_s:
            raise SnapshotRefusedError(
                f"is {age_s:.0f} s old, more than MODELPORT_SNAPSHOT_MAX_AGE_S allows ({max_age_s:g})"
            )
        if age_s < -CLOCK_SLACK_S:
            raise SnapshotRefusedError(f"is of the future by {-age_s:.0f} s: check this machine's clock")
        return snapshot

    def _read_private(self) -> bytes:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise SnapshotRefusedError("is no regular file")
            mode = stat.S_IMODE(status.st_mode)
            if mode != 0o600 or status.st_uid != os.geteuid():
                raise SnapshotRefusedError(
                    f"has mode {mode:04o} and owner {status.st_uid}; it must have mode 0600 and the gateway's own user"
                )
            if status.st_size > MAX_BYTES:
                raise SnapshotRefusedError(f"is larger than {MAX_BYTES} bytes")
            return file.read()

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _lines(snapshot: Snapshot) -> Iterator[bytes]:
    yield json.dumps({"written_at": snapshot.written_at, "epoch": snapshot.epoch}).encode()
    for entry in snapshot.records:
        payload = (entry.payload or b"").decode(errors="surrogateescape")
        yield json.dumps(["record", entry.key, entry.revision, entry.seq, payload]).encode()
    for index in snapshot.indexes:
        yield json.dumps(["index", index.name, index.fields]).encode()
    for key, value in snapshot.secrets.items():
        yield json.dumps(["secret", key, value.version, value.value]).encode()


def _parse(plain: bytes) -> Snapshot:
    first, *lines = plain.split(b"\n")
    try:
        about = json.loads(first)
        snapshot = Snapshot(float(about["written_at"]), about["epoch"])
        for line in lines:
            match json.loads(line):
                case ["record", str(key), int(revision), int(seq), str(payload)]:
                    if key.partition("/")[0] in _KINDS:
                        raw = payload.encode(errors="surrogateescape")
                        snapshot.records.append(
                            Entry(key, present=True, revision=revision, seq=seq, payload=raw, verified=False)
                        )
                case ["index", str(name), dict(fields)]:
                    snapshot.indexes.append(IndexEntry(name, fields, verified=False))
                case ["secret", str(key), int(version), str(value)]:
                    snapshot.secrets[key] = SecretValue(value, version)
    except (ValueError, KeyError, TypeError):
        raise SnapshotRefusedError("is no snapshot of this release") from None
    return snapshot


def _owner(header: bytes) -> str | None:
    try:
        said = json.loads(header)
        return str(said["gateway"]) if said["format"] == _FORMAT else None
    except (ValueError, KeyError, TypeError):
        return None

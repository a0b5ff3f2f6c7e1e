"""Service tokens: who may call a service, and for what.

Each service holds its own token and a list of the callers it accepts, by the digest of their tokens; so no
service can pose as another, and one that leaks its list leaks no token.
"""

import hashlib
import hmac
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from modelport_kit.settings import SettingsError

Scope = Literal["api", "reveal", "sync"]


class Caller(BaseModel):
    """A caller that a service accepts."""

    model_config = ConfigDict(frozen=True)

    caller: str
    scopes: frozenset[Scope]
    sha256: str
    """Hex digest of the token."""


_CALLERS = TypeAdapter(list[Caller])


class TrustedCallers:
    """The callers a service accepts."""

    def __init__(self, callers: list[Caller]) -> None:
        self._callers = callers

    @classmethod
    def from_file(cls, path: Path | None) -> "TrustedCallers":
        """Load the trust file. Raises SettingsError."""
        if path is None:
            raise SettingsError("MODELPORT_SERVICE_TRUST_FILE is not set")
        try:
            return cls(_CALLERS.validate_json(path.read_bytes()))
        except OSError as error:
            raise SettingsError(f"MODELPORT_SERVICE_TRUST_FILE: cannot read {path}: {error.strerror}") from None
        except ValidationError:
            raise SettingsError(f"MODELPORT_SERVICE_TRUST_FILE: {path} is not a list of callers") from None

    def identify(self, token: str | None) -> Caller | None:
        """Return the caller that holds `token`, comparing every digest in constant time."""
        if not token:
            return None
        digest = hashlib.sha256(token.encode()).hexdigest()
        found = None
        for caller in self._callers:
            if hmac.compare_digest(caller.sha256, digest):
                found = caller
        return found

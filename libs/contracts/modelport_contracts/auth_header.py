"""The grammar of `auth_header_format` (docs/wire.md, 3.5).

Exactly `Name: prefix{{ auth_secret }}suffix`. A general template engine here has been a remote code execution
elsewhere (CVE-2026-1868), so this is a grammar of one placeholder.
"""

import re
from dataclasses import dataclass

from modelport_contracts.headers import CREDENTIALS, HEADER_NAME, NOT_CONFIGURABLE

DEFAULT_AUTH_HEADER_FORMAT = "Authorization: Bearer {{ auth_secret }}"

_PLACEHOLDER = re.compile(r"\{\{ *auth_secret *\}\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_RULE = 'auth_header_format must look like "Name: prefix{{ auth_secret }}suffix"'


class UnusableSecretError(ValueError):
    """The secret's value cannot stand in a header."""


@dataclass(frozen=True, slots=True)
class AuthHeader:
    """A parsed format: how a provider wants to be shown the secret."""

    name: str
    prefix: str
    suffix: str

    def value(self, secret: str) -> str:
        """Return the header's value with the secret inserted verbatim. Raises UnusableSecretError."""
        if _CONTROL.search(secret):
            raise UnusableSecretError("the secret holds a control character, which no header can carry")
        return f"{self.prefix}{secret}{self.suffix}"


def parse_auth_header(text: str) -> AuthHeader:
    """Parse a format. Raises ValueError with a message for the user."""
    if _CONTROL.search(text):
        raise ValueError(f"{_RULE}: no control characters")
    name, colon, rest = text.partition(":")
    if not colon or not HEADER_NAME.fullmatch(name):
        raise ValueError(f"{_RULE}: the header's name is missing or no header token")
    if name.lower() in NOT_CONFIGURABLE - CREDENTIALS or name.lower().startswith("x-modelport-"):
        raise ValueError(f"{_RULE}: {name} cannot carry a credential")
    if not rest.startswith(" ") or rest.startswith("  "):
        raise ValueError(f"{_RULE}: one space after the colon")
    parts = _PLACEHOLDER.split(rest[1:])
    if len(parts) != 2:
        raise ValueError(f"{_RULE}: exactly one {{{{ auth_secret }}}}")
    prefix, suffix = parts
    if any(brace in part for part in parts for brace in "{}"):
        raise ValueError(f"{_RULE}: no other braces")
    if not text.isascii():
        raise ValueError(f"{_RULE}: ASCII only")
    return AuthHeader(name, prefix, suffix)

"""The CA that a provider's options name: the only one believed for it (docs/wire.md, 3.2, options)."""

import hashlib
import re
import ssl
from dataclasses import dataclass, field
from typing import Final

from modelport_contracts.records import record_key

_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


@dataclass(frozen=True, slots=True)
class Ca:
    """A bundle of certificates. Two of the same certificates are the same."""

    fingerprint: str
    pem: str = field(repr=False, compare=False)


def read_ca(bundle: str) -> Ca:
    """Read the certificates of a PEM bundle; bundles have comments, in any language. Raises ValueError."""
    pem = "\n".join(_CERTIFICATE.findall(bundle))
    if not pem:
        raise ValueError("no certificate")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except ssl.SSLError:
        raise ValueError("not all certificates can be read") from None
    return Ca(hashlib.sha256(pem.encode()).hexdigest(), pem)


class PinnedCa:
    """Which secret holds a provider's CA, and what it held when it was last looked at."""

    __slots__ = ("__weakref__", "ca", "secret_key", "secret_name", "secret_version")

    def __init__(self, workspace: str, secret_name: str) -> None:
        self.secret_name = secret_name
        self.secret_key = record_key("secret", workspace, secret_name)
        self.secret_version = -1
        self.ca: Ca | None = None

    def drop_secret(self) -> None:
        """Forget the CA: its secret is gone."""
        self.secret_version = -1
        self.ca = None

"""A provider's record, compiled: everything about it that is the same for each request."""

from typing import Final

from modelport_contracts.auth_header import (
    DEFAULT_AUTH_HEADER_FORMAT,
    AuthHeader,
    UnusableSecretError,
    parse_auth_header,
)
from modelport_contracts.records import ProviderRecord, record_key
from modelport_gateway.errors import CaUnusableError, EgressRefusedError, SecretUnusableError
from modelport_gateway.parse.fields import Field, classify
from modelport_gateway.prepare.body import ExtraBody
from modelport_gateway.prepare.ca import read_ca
from modelport_gateway.prepare.options import TargetOptions, compiled_options
from modelport_gateway.prepare.url import BaseUrl, parse_host_url
from modelport_gateway.route.table import Entry

READY: Final = "READY"


class Target:
    """Where and how one provider is called. Holds the credential it was last given, and never shows it."""

    __slots__ = (
        "__weakref__",
        "_auth",
        "_common",
        "base",
        "block",
        "defaults",
        "extra_body",
        "key",
        "label",
        "name",
        "options",
        "origin",
        "ready",
        "replaced",
        "secret_key",
        "secret_name",
        "secret_version",
        "workspace",
    )

    def __init__(self, record: ProviderRecord, loop_line: bytes) -> None:
        self.workspace = record.workspace
        self.name = record.name
        self.label = f"{record.workspace}/{record.name}"
        self.key = record_key("provider", record.workspace, record.name)
        self.ready = record.status == READY
        try:
            self.base: BaseUrl = parse_host_url(record.host_url)
        except ValueError as error:
            raise EgressRefusedError(f"provider {self.label}: {error}") from None
        self.options: TargetOptions | None = compiled_options(
            record.options, record.workspace, is_tls=self.base.origin.is_tls
        )
        """None where the provider sets none of its own."""
        self.origin = self.base.origin
        """Where connections go; with the provider's own CA once that is known."""
        self.extra_body = ExtraBody(record.default_extra_body or {}, record.required_extra_body or {})
        required = record.required_extra_headers or {}
        self.secret_name = record.api_key_secret_name
        self._auth: AuthHeader | None = None
        if self.secret_name is not None:
            self._auth = parse_auth_header(record.auth_header_format or DEFAULT_AUTH_HEADER_FORMAT)
        replaced = {name.lower() for name in required} | (
            {self._auth.name.lower()} if self._auth is not None else set()
        )
        self.defaults = tuple(
            (name.lower().encode(), _line(name, value))
            for name, value in (record.default_extra_headers or {}).items()
            if name.lower() not in replaced
        )
        self.secret_key: str | None = None
        self.secret_version = -1
        """Revision of the secret whose value stands in `block`."""
        if self.secret_name is not None:
            self.secret_key = record_key("secret", record.workspace, self.secret_name)
        # Names that are dropped from every request anyway need no second look at its lines.
        self.replaced = frozenset(name for name in map(str.encode, replaced) if classify(name) != Field.DROP)
        host = b"Host: %b\r\n" % self.base.origin.host_header.encode()
        extras = b"".join(_line(name, value) + b"\r\n" for name, value in required.items())
        self._common = (host, extras, loop_line + b"\r\n")
        self.block: tuple[bytes, bytes] = (host, extras + self._common[2])
        """(lines before the client's, lines after them), each ending in CRLF."""

    def set_secret(self, value: str, version: int) -> None:
        """Put the credential into the header block. Raises SecretUnusableError."""
        assert self._auth is not None
        try:
            line = f"{self._auth.name}: {self._auth.value(value)}".encode()
        except (UnusableSecretError, UnicodeEncodeError):
            raise SecretUnusableError(
                f"secret {self.workspace}/{self.secret_name} of provider {self.label} holds characters that no "
                "header can carry; store it again without line breaks"
            ) from None
        host, extras, loop = self._common
        self.block = (host, extras + line + b"\r\n" + loop)
        self.secret_version = version

    def set_ca(self, bundle: str, version: int) -> None:
        """Believe the provider's own CA, and only that. Raises CaUnusableError."""
        assert self.options is not None
        pinned = self.options.ca
        assert pinned is not None
        try:
            pinned.ca = read_ca(bundle)
        except ValueError as error:
            raise CaUnusableError(
                f"secret {self.workspace}/{pinned.secret_name}, the CA of provider {self.label} "
                f"(options.ca_secret_name), is no PEM bundle of certificates: {error}; store it again"
            ) from None
        pinned.secret_version = version
        self.origin = self.base.origin._replace(ca=pinned.ca)

    def drop_secret(self) -> None:
        """Forget the credential: its secret is gone."""
        host, extras, loop = self._common
        self.block = (host, extras + loop)
        self.secret_version = -1

    def __repr__(self) -> str:
        return f"<Target {self.label} {self.base.origin}>"


def _line(name: str, value: str) -> bytes:
    return f"{name}: {value}".encode("latin-1")


def compiled_target(entry: Entry, loop_line: bytes) -> Target:
    """Return the target of a present provider entry."""
    found = entry.compiled
    if not isinstance(found, Target):
        found = entry.compiled = Target(ProviderRecord.model_validate_json(entry.payload or b""), loop_line)
    return found

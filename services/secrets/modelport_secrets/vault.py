"""HashiCorp Vault's transit engine as keeper of the key-encryption key, which never leaves it.

A data key is wrapped by `encrypt`, opened by `decrypt`, and after a rotation of Vault's key `rewrap` renews it there,
so that it is not even seen here. An id names the key and its version: `vault:transit/modelport:v3`.
"""

import asyncio
import base64
import binascii
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from modelport_kit.errors import AwayError
from modelport_kit.settings import SettingsError, read_secret_file
from modelport_secrets.keyring import KeyRefusedError
from modelport_secrets.sealing import UnsealError, WrappedKey

TIMEOUT_S = 3.0
"""Less than a gateway waits for a secret's value (5 s): it shall hear that Vault is away, not nothing."""
_CIPHERTEXT = re.compile(r"vault:(v[1-9][0-9]*):[A-Za-z0-9+/=_-]+")
_LONGEST_REASON = 200
_AWAY, _REFUSES = "vault_away", "vault_refuses"


@dataclass(frozen=True)
class VaultAccess:
    """Where Vault is, and what of it is used."""

    address: str
    token_file: Path
    """Read for each question: an agent that renews the token writes it anew."""
    key: str
    mount: str = "transit"
    namespace: str | None = None
    ca_file: Path | None = None


class _RefusedError(Exception):
    """Vault says no, and will go on saying it: 400, 403 or 404."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class VaultKey:
    """A key of Vault's transit engine, with all its versions."""

    id_is_proof = False

    def __init__(self, access: VaultAccess) -> None:
        """Prepare to ask; nothing connects. Raises SettingsError for files that cannot be used."""
        self._access = access
        self._token()
        self._name = f"{access.mount}/{access.key}"
        headers = {"x-vault-request": "true", "user-agent": "modelport"}
        if access.namespace is not None:
            headers["x-vault-namespace"] = access.namespace
        self._client = httpx.AsyncClient(
            base_url=access.address,
            headers=headers,
            verify=_tls(access.ca_file),
            timeout=TIMEOUT_S,
            follow_redirects=False,
            trust_env=False,
        )
        self._opening: dict[WrappedKey, asyncio.Task[bytes]] = {}

    def __repr__(self) -> str:
        return f"VaultKey({self.label})"

    @property
    def label(self) -> str:
        """Which key, and the setting that says where. Users see it too, so it tells no address."""
        return f"vault:{self._name} (MODELPORT_VAULT_ADDR)"

    def holds(self, kek_id: str) -> bool:
        """Say whether an id means a version of this key."""
        return re.fullmatch(rf"vault:{re.escape(self._name)}:v[1-9][0-9]*", kek_id) is not None

    async def newest(self) -> str:
        """Ask for the key's latest version. Raises AwayError."""
        try:
            data = await self._ask("GET", "keys")
        except _RefusedError as error:
            raise self._refusal(error) from None
        version = data.get("latest_version")
        if not isinstance(version, int):
            raise self._misunderstood()
        if data.get("supports_encryption") is False or data.get("derived") is True:
            raise KeyRefusedError(
                f"{self.label} cannot wrap keys: it must be of type aes256-gcm96, not derived", _REFUSES
            )
        return f"vault:{self._name}:v{version}"

    async def wrap(self, clear: bytes) -> WrappedKey:
        """Have a data key encrypted. Raises AwayError."""
        body = {"plaintext": base64.b64encode(clear).decode()}
        try:
            return self._wrapped(await self._ask("POST", "encrypt", body))
        except _RefusedError as error:
            raise self._refusal(error) from None

    async def unwrap(self, key: WrappedKey) -> bytes:
        """Have a data key decrypted. Raises UnsealError, AwayError.

        When a secret was rotated every gateway asks for its value at once: they share one question.
        """
        opening = self._opening.get(key)
        if opening is None:
            opening = asyncio.ensure_future(self._unwrap(key))
            self._opening[key] = opening
            opening.add_done_callback(lambda done: self._opened(key, done))
        return await asyncio.shield(opening)  # who leaves does not take the others' answer along

    def _opened(self, key: WrappedKey, done: "asyncio.Task[bytes]") -> None:
        del self._opening[key]
        if not done.cancelled():
            done.exception()  # seen, also where everybody who asked has left

    async def _unwrap(self, key: WrappedKey) -> bytes:
        data = await self._ask_about(key, "decrypt")
        try:
            return base64.b64decode(str(data.get("plaintext")), validate=True)
        except binascii.Error:
            raise self._misunderstood() from None

    async def rewrap(self, key: WrappedKey) -> WrappedKey:
        """Have a data key encrypted under the newest version. Raises UnsealError, AwayError."""
        return self._wrapped(await self._ask_about(key, "rewrap"))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _ask_about(self, key: WrappedKey, operation: str) -> dict[str, Any]:
        try:
            return await self._ask("POST", operation, {"ciphertext": key.wrapped.decode("ascii", "replace")})
        except _RefusedError as error:
            if error.status == 400:
                raise UnsealError(
                    f"Vault does not open it ({error}): it was altered, or {key.kek_id} is gone"
                ) from None
            raise self._refusal(error) from None

    def _wrapped(self, data: dict[str, Any]) -> WrappedKey:
        ciphertext = str(data.get("ciphertext"))
        found = _CIPHERTEXT.fullmatch(ciphertext)
        if found is None:
            raise self._misunderstood()
        return WrappedKey(f"vault:{self._name}:{found[1]}", ciphertext.encode())

    def _misunderstood(self) -> AwayError:
        return AwayError(f"{self.label} does not answer as Vault does", _AWAY)

    def _refusal(self, error: _RefusedError) -> KeyRefusedError:
        said = f"Vault refuses the use of {self.label} with status {error.status} ({error})"
        if error.status == 403:
            advice = "the token (MODELPORT_VAULT_TOKEN_FILE) has expired, or its policy lacks this (docs/encryption.md)"
        else:
            advice = "see to MODELPORT_VAULT_TRANSIT_KEY, _TRANSIT_MOUNT and _NAMESPACE"
        return KeyRefusedError(f"{said}; {advice}", _REFUSES)

    def _token(self) -> str:
        token = read_secret_file(self._access.token_file, "MODELPORT_VAULT_TOKEN_FILE")
        if not token.isascii() or not token.isprintable():
            raise SettingsError(f"MODELPORT_VAULT_TOKEN_FILE: {self._access.token_file} does not hold a token")
        return token

    async def _ask(self, method: str, operation: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        """Ask Vault, return its `data`. Raises _RefusedError, AwayError."""
        path = f"/v1/{quote(self._access.mount)}/{operation}/{quote(self._access.key, safe='')}"
        try:
            token = self._token()
        except SettingsError:
            raise AwayError("MODELPORT_VAULT_TOKEN_FILE does not hold a token at the moment", _AWAY) from None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reply = await self._client.request(method, path, json=body, headers={"x-vault-token": token})
        except (httpx.HTTPError, TimeoutError) as error:
            raise AwayError(f"{self.label} cannot be reached ({type(error).__name__})", _AWAY) from None
        if reply.status_code in (400, 403, 404):
            raise _RefusedError(reply.status_code, _reason(reply))
        if reply.status_code != 200:
            raise AwayError(f"{self.label} answers with status {reply.status_code} ({_reason(reply)})", _AWAY)
        data = _member(reply, "data")
        if not isinstance(data, dict):
            raise self._misunderstood()
        return data


def _member(reply: httpx.Response, name: str) -> Any:
    try:
        whole = reply.json()
    except ValueError:
        return None
    return whole.get(name) if isinstance(whole, dict) else None


def _reason(reply: httpx.Response) -> str:
    """Put Vault's errors into one short line."""
    errors = _member(reply, "errors")
    said = " ".join(" ".join(str(one) for one in errors).split()) if isinstance(errors, list) else ""
    printable = "".join(letter for letter in said if letter.isprintable())
    return printable[:_LONGEST_REASON] or "it says no more"


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is None:
        return httpx.create_ssl_context(trust_env=False)
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"MODELPORT_VAULT_CA_FILE: cannot use {ca_file}: {error.strerror or error}") from None

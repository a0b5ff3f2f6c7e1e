"""A server of Vault's transit engine, after its documented HTTP interface: no Vault can be installed everywhere.

What the secrets service uses of it, and how Vault answers what is wrong: with which status, and errors in which shape.
Keys never leave it. It runs in a thread, on a real socket; tests turn its keys, seal it and stop it.
"""

import base64
import contextlib
import json
import os
import re
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from modelport_testing.canaries import Kind, canary

_NONCE = 12


class VaultError(Exception):
    """What Vault answers instead."""

    def __init__(self, status: int, *errors: str) -> None:
        super().__init__(*errors)
        self.status = status
        self.errors = list(errors)


@dataclass
class TransitKey:
    """A named key of type aes256-gcm96 and its versions."""

    versions: dict[int, bytes] = field(default_factory=lambda: {1: os.urandom(32)}, repr=False)
    min_decryption_version: int = 1

    @property
    def latest(self) -> int:
        return max(self.versions)

    def rotate(self) -> None:
        self.versions[self.latest + 1] = os.urandom(32)

    def encrypt(self, plaintext: bytes) -> str:
        nonce = os.urandom(_NONCE)
        sealed = nonce + AESGCM(self.versions[self.latest]).encrypt(nonce, plaintext, None)
        return f"vault:v{self.latest}:{base64.b64encode(sealed).decode()}"

    def decrypt(self, ciphertext: str) -> bytes:
        found = re.fullmatch(r"vault:v(\d+):(.+)", ciphertext)
        if found is None:
            raise VaultError(400, "invalid ciphertext: no prefix")
        version = int(found[1])
        if version < self.min_decryption_version:
            raise VaultError(400, "ciphertext or signature version is disallowed by policy (too old)")
        if version not in self.versions:
            raise VaultError(400, "invalid ciphertext: version is too new")
        try:
            sealed = base64.b64decode(found[2], validate=True)
        except ValueError:
            raise VaultError(400, "invalid ciphertext: could not decode base64") from None
        try:
            return AESGCM(self.versions[version]).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
        except (InvalidTag, ValueError):
            raise VaultError(400, "cipher: message authentication failed") from None


class TransitServer:
    """Vault with one transit engine."""

    def __init__(self, mount: str = "transit", namespace: str | None = None) -> None:
        self.mount = mount
        self.namespace = namespace
        self.token = canary(Kind.SERVICE, "hvs.")
        self.keys = {"modelport": TransitKey()}
        self.may = {"keys", "encrypt", "decrypt", "rewrap"}
        """What the token's policy allows."""
        self.is_sealed = False
        self.answers_with: int | None = None
        """A status instead of an answer, as standby nodes and those that are overloaded give."""
        self.asked: list[str] = []
        """The operations, in order."""
        self.gate = threading.Event()
        """While it is not set, nothing is answered."""
        self.gate.set()
        self._connections: set[socket.socket] = set()
        self._server = self._listen(0)
        self.port = self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _listen(self, port: int) -> ThreadingHTTPServer:
        vault = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer({})

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                self._answer(json.loads(self.rfile.read(length)) if length else {})

            def _answer(self, body: dict[str, Any]) -> None:
                try:
                    status, reply = 200, vault.answer(self.command, self.path, dict(self.headers.items()), body)
                except VaultError as error:
                    status, reply = error.status, {"errors": error.errors}
                data = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def setup(self) -> None:
                super().setup()
                vault._connections.add(self.connection)

            def finish(self) -> None:
                vault._connections.discard(self.connection)
                with contextlib.suppress(OSError):
                    super().finish()

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a client that leaves

        server = Server(("127.0.0.1", port), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return server

    def answer(self, method: str, path: str, headers: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        """Answer a request. Raises VaultError."""
        self.gate.wait(30)
        given = {name.lower(): value for name, value in headers.items()}
        if self.answers_with is not None:
            raise VaultError(self.answers_with)
        if self.is_sealed:
            raise VaultError(503, "Vault is sealed")
        if given.get("x-vault-token") != self.token:
            raise VaultError(403, "1 error occurred:\n\t* permission denied\n\n")
        where = re.fullmatch(rf"/v1/{re.escape(self.mount)}/(keys|encrypt|decrypt|rewrap)/([\w.-]+)", path)
        if where is None or given.get("x-vault-namespace") != self.namespace:
            raise VaultError(404, f'no handler for route "{path[4:]}". route entry not found.')
        operation, name = where.groups()
        self.asked.append(operation)
        if operation not in self.may:
            raise VaultError(403, "1 error occurred:\n\t* permission denied\n\n")
        data = self._operate(method, operation, self.keys.get(name), body)
        return {
            "request_id": str(uuid.uuid4()),
            "lease_id": "",
            "renewable": False,
            "lease_duration": 0,
            "data": data,
            "wrap_info": None,
            "warnings": None,
            "auth": None,
        }

    def _operate(self, method: str, operation: str, key: TransitKey | None, body: dict[str, Any]) -> dict[str, Any]:
        if (method == "GET") != (operation == "keys"):
            raise VaultError(405, "1 error occurred:\n\t* unsupported operation\n\n")
        if key is None:
            raise VaultError(404) if operation == "keys" else VaultError(400, "encryption key not found")
        if operation == "keys":
            return {
                "type": "aes256-gcm96",
                "derived": False,
                "exportable": False,
                "latest_version": key.latest,
                "min_decryption_version": key.min_decryption_version,
                "min_encryption_version": 0,
                "keys": {str(version): 1_700_000_000 + version for version in key.versions},
                "supports_encryption": True,
                "supports_decryption": True,
                "supports_derivation": True,
                "supports_signing": False,
            }
        if operation == "encrypt":
            if "plaintext" not in body:
                raise VaultError(400, "missing plaintext to encrypt")
            return _sealed(key, base64.b64decode(body["plaintext"], validate=True))
        if not body.get("ciphertext"):
            raise VaultError(400, "missing ciphertext to decrypt")
        plaintext = key.decrypt(body["ciphertext"])
        if operation == "rewrap":
            return _sealed(key, plaintext)
        return {"plaintext": base64.b64encode(plaintext).decode()}

    def stop(self) -> None:
        """Be away: connections are refused."""
        self._server.shutdown()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()

    def start(self) -> None:
        """Be back on the same port, with the same keys."""
        self._server = self._listen(self.port)


def _sealed(key: TransitKey, plaintext: bytes) -> dict[str, Any]:
    return {"ciphertext": key.encrypt(plaintext), "key_version": key.latest}


@contextmanager
def start_transit(mount: str = "transit", namespace: str | None = None) -> Iterator[TransitServer]:
    """Run one."""
    server = TransitServer(mount, namespace)
    yield server
    server.gate.set()
    server.stop()

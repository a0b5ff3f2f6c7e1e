"""Asking a part whether it is ready. Each probe is one short connection and raises OSError when it fails."""

import asyncio
import json
from pathlib import Path
from urllib.parse import urlsplit

from modelport_cli.stack.plan import HOST, REDIS_USER

_TIMEOUT_S = 2.0
"""A part that is still starting has a listening socket but does not answer; then the probe is sent again."""


async def http_ready(port: int) -> bool:
    """Tell whether a service's /health/ready answers 200."""
    request = f"GET /health/ready HTTP/1.1\r\nhost: {HOST}:{port}\r\nconnection: close\r\n\r\n"
    return (await _ask(port, request.encode(), 12)).endswith(b" 200")


async def valkey_ready(port: int, password: str) -> bool:
    """Tell whether Valkey lets us in; only ours knows the password, so nobody else on the port is mistaken for it."""
    expected = b"+OK\r\n+PONG"
    return await _ask(port, f"AUTH {REDIS_USER} {password}\r\nPING\r\n".encode(), len(expected)) == expected


async def nats_ready(port: int) -> bool:
    """Tell whether a NATS server greets on this port."""
    return await _ask(port, b"", 6) == b"INFO {"


def nats_port(run: Path, pid: int) -> int | None:
    """Read the port a NATS server of this process id chose from the file it writes; None while there is none."""
    for file in run.glob(f"*_{pid}.ports"):
        try:
            ports = json.loads(file.read_text())
        except ValueError:
            return None
        address: str = ports["nats"][0]
        return urlsplit(address).port
    return None


async def _ask(port: int, question: bytes, length: int) -> bytes:
    async with asyncio.timeout(_TIMEOUT_S):
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            writer.write(question)
            return await reader.readexactly(length)
        except asyncio.IncompleteReadError as error:
            return error.partial
        finally:
            writer.close()

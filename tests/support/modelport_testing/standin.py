"""A stand-in for a service, for tests of what starts and ends services rather than of services.

It answers `GET /health/ready` and, on any other path, with its name, process id and `MODELPORT_*` environment as JSON.
STANDIN_JOURNAL names a file that gets a line for each start and orderly end; a service named in STANDIN_BROKEN ends
at once, one named in the file STANDIN_REFUSING refuses its data, one named in STANDIN_STUBBORN does not end when asked.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

SERVICES = ("secrets", "models", "gateway")


def install(folder: Path) -> Path:
    """Write packages into `folder` that stand in for the services once it is on PYTHONPATH."""
    for name in SERVICES:
        package = folder / f"modelport_{name}"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "__main__.py").write_text(f"from modelport_testing.standin import main\n\nmain({name!r})\n")
    return folder


def main(name: str) -> None:
    """Serve on the inherited sockets until SIGTERM."""
    if name in os.environ.get("STANDIN_BROKEN", "").split(","):
        sys.stderr.write("first line\nthe database is on fire\n")
        sys.exit(3)
    refusing = Path(os.environ.get("STANDIN_REFUSING", os.devnull))
    if refusing.exists() and name in refusing.read_text().split(","):
        sys.stderr.write(f"first line\n{name}: the database is no database\n")
        sys.exit(os.EX_CONFIG)
    journal(f"{name} started")
    asyncio.run(serve(name))
    journal(f"{name} ended")


def journal(line: str) -> None:
    """Append a line to the journal."""
    if "STANDIN_JOURNAL" in os.environ:
        with Path(os.environ["STANDIN_JOURNAL"]).open("a") as file:
            file.write(line + "\n")


async def serve(name: str) -> None:
    """Answer each connection once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    stubborn = name in os.environ.get("STANDIN_STUBBORN", "").split(",")
    loop.add_signal_handler(signal.SIGTERM, (lambda: None) if stubborn else stop.set)
    facts = {key: value for key, value in os.environ.items() if key.startswith("MODELPORT_")}
    facts |= {"name": name, "pid": str(os.getpid()), "ngc": os.environ.get("NGC_API_KEY", "")}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps(facts).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    variables = ("MODELPORT_LISTEN_FDS", "MODELPORT_SHARED_FDS")
    fds = [int(fd) for variable in variables for fd in os.environ.get(variable, "").split(",") if fd]
    servers = [await asyncio.start_server(answer, sock=socket.socket(fileno=fd)) for fd in fds]
    await stop.wait()
    for server in servers:
        server.close()

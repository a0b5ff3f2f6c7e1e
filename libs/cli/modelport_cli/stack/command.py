"""`nemo services run`: the local stack from an installed package."""

import asyncio
import contextlib
import importlib.util
import os
import socket
import sys
from pathlib import Path

from modelport_cli.stack.errors import StackError

MAX_GATEWAYS = 64
MAX_PORT = 65535


def run(port: int, data_dir: Path, gateways: int) -> int:
    """Run the whole stack in the foreground and return the process's exit code.

    0 after Ctrl-C, SIGTERM or a hang-up; 1 with one line on stderr when the stack cannot run.

    Args:
        port: where the platform listens on 127.0.0.1; 0 picks a free port.
        data_dir: the data folder, made when it is not there.
        gateways: how many gateway processes share the port.

    """
    try:
        _run(port, data_dir, gateways)
    except StackError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def _run(port: int, data_dir: Path, gateways: int) -> None:
    if os.name != "posix":
        raise StackError("the local stack runs on Linux and macOS; elsewhere use docker compose")
    if not 0 <= port <= MAX_PORT:
        raise StackError(f"{port} is not a port: choose one from 1 to {MAX_PORT} with --port or MODELPORT_PORT")
    if not 1 <= gateways <= MAX_GATEWAYS:
        raise StackError(f"--gateways must be from 1 to {MAX_GATEWAYS}, not {gateways}")
    if importlib.util.find_spec("uvicorn") is None:
        raise StackError("the services' own packages are not installed: pip install 'modelport[local]'")
    # Whatever a part writes is its user's alone.
    os.umask(0o077)

    from modelport_cli.stack.binaries import find_programs
    from modelport_cli.stack.datadir import is_new, open_data_folder
    from modelport_cli.stack.keys import ensure_keys
    from modelport_cli.stack.sockets import listen

    programs = find_programs(os.environ)
    with contextlib.ExitStack() as opened:
        # A start that cannot be leaves no folder behind where there was none. In a folder that was used before, the
        # port comes after the lock: the children of a killed stack keep it until their guard, who holds the lock, has
        # ended them.
        front = opened.enter_context(listen(port)) if is_new(data_dir) else None
        data = opened.enter_context(contextlib.closing(open_data_folder(data_dir)))
        front = front or opened.enter_context(listen(port))
        keys = ensure_keys(data)

        async def supervise(front: socket.socket) -> None:
            from modelport_cli.stack.supervisor import Supervisor

            await Supervisor(data, keys, programs, front, gateways, os.environ).run()

        asyncio.run(supervise(front))

"""Listening sockets that the supervisor holds, so that a part which restarts is back on the address it had."""

import errno
import random
import socket

from modelport_cli.stack.errors import StackError

HOST = "127.0.0.1"
BACKLOG = 2048

# Below what systems hand out to outgoing connections (Linux from 32768, macOS from 49152): a port that was given up
# for a moment is still free afterwards.
_UNASSIGNED = range(20000, 32000)


def listen(port: int) -> socket.socket:
    """Listen on a port of 127.0.0.1, 0 for any that is free.

    Raises:
        StackError: the port is taken or not allowed.

    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if port and _answers(port):
            raise OSError(errno.EADDRINUSE, "")
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise StackError(
            f"port {port} of {HOST} {reason}: stop what listens there, or choose another with --port or MODELPORT_PORT"
        ) from None
    return listener


def port_of(listener: socket.socket) -> int:
    """Return the port a socket is bound to."""
    return int(listener.getsockname()[1])


def unassigned_port() -> int:
    """Pick a free port for a server that can only be told a number."""
    choose = random.SystemRandom()
    while True:
        port = choose.choice(_UNASSIGNED)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def _answers(port: int) -> bool:
    # macOS lets a socket of one address be bound beside one of all addresses; the two would share the port by chance.
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0

"""The guard: ends the stack's children when the supervisor is gone without having been able to.

A program of its own (`python guard.py`, standard library only), child of the supervisor, leader of the process
group that all other children are put into. Its standard input is a pipe that only the supervisor holds open:
lines `+<pid>` and `-<pid>` tell which children there are, `quit` that all is in order. End of input without `quit`
means that the supervisor was killed.

The group is what makes it certain (a child is in it before its program runs); the process ids are only for knowing
when all have ended. Until then the guard keeps the data folder's lock, which it inherited, so the next start waits.
"""

import os
import signal
import sys
import time

TERMINATE_S = 0.6
"""Time for the children to end in good order."""
KILL_S = 0.2
"""Time for the system to end the others."""
_POLL_S = 0.01


def main() -> None:
    """Serve until the supervisor says quit or is gone."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    pids: set[int] = set()
    for line in sys.stdin:
        if line == "quit\n":
            return
        sign, pid = line[0], int(line[1:])
        if sign == "+":
            pids.add(pid)
        else:
            pids.discard(pid)
    group = os.getpgrp()
    os.killpg(group, signal.SIGTERM)
    if not wait_until_gone(pids, TERMINATE_S):
        for pid in pids:
            send(pid, signal.SIGKILL)
        wait_until_gone(pids, KILL_S)
    # Ends children started in the very moment the supervisor died, and this process.
    os.killpg(group, signal.SIGKILL)


def wait_until_gone(pids: set[int], seconds: float) -> bool:
    """Wait until no process of `pids` is left, at most so long; tell whether that is so."""
    end = time.monotonic() + seconds
    while any(send(pid, 0) for pid in pids):
        if time.monotonic() >= end:
            return False
        time.sleep(_POLL_S)
    return True


def send(pid: int, number: int) -> bool:
    """Send a signal; tell whether there was such a process."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()

"""What Linux says of a process: processor time and memory, from /proc."""

import os
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_seconds(stat: str) -> float:
    """Return user and system time from the text of /proc/PID/stat (proc(5): fields 14 and 15)."""
    # The second field is the program's name in parentheses and may hold anything, spaces and parentheses included.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def kibibytes(status: str, name: str) -> int:
    """Return a size such as VmHWM or VmRSS from the text of /proc/PID/status. Raises KeyError where it is missing."""
    for line in status.splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0])
    raise KeyError(name)


def cpu_of(pids: list[int]) -> float:
    """Return the processor time all these processes have used so far, in seconds."""
    return sum(cpu_seconds(Path(f"/proc/{pid}/stat").read_text()) for pid in pids)


def memory_mib(pid: int, name: str = "VmRSS") -> float:
    """Return a process's resident memory (VmRSS), or the most it ever was (VmHWM)."""
    return kibibytes(Path(f"/proc/{pid}/status").read_text(), name) / 1024


def children(pid: int) -> list[int]:
    """Return the processes a process started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

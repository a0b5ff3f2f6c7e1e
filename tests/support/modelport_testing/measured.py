"""What a figure belongs to: the machine and the commit."""

import os
import platform
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
_SOURCES = ("libs", "services", "tests", "requirements")


def machine() -> str:
    """Name the cores, the processor, the system and the interpreter's version."""
    try:
        processor = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        processor = None
    name = processor[1] if processor else platform.machine()
    return f"{os.cpu_count()} cores, {name}, {platform.system()}, Python {platform.python_version()}"


def commit() -> str:
    """Name the commit whose sources run; documents may have changed since."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    found = git("rev-parse", "--short", "HEAD") or "unknown"
    return f"{found} with changes" if git("status", "--porcelain", "--untracked-files=no", "--", *_SOURCES) else found

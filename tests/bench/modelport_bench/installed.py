"""What other gateways need, installed once outside the tree: in MODELPORT_BENCH_CACHE, else in the user's cache."""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from modelport_bench.nginx import StartError


def python_environment(name: str, lock: Path) -> Path:
    """Return a virtual environment with what a hashed requirements file lists, made where there is none.

    Raises StartError when that fails.
    """
    folder = _folder(name, lock)
    if not _complete(folder):
        print(f"Installing {name} into {folder} (once; some minutes)", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True, symlinks=True)
        pip = [str(folder / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        # The lock is complete: there is nothing to resolve.
        _run([*pip, "--require-hashes", "--no-deps", "-r", str(lock)], folder, name)
        _mark(folder)
    return folder


def node_packages(name: str, source: Path) -> Path:
    """Return a folder with the packages that the package-lock.json in `source` lists. Raises StartError."""
    if shutil.which("npm") is None:
        raise StartError(f"{name} needs node and npm: apt-get install nodejs npm (Debian)")
    folder = _folder(name, source / "package-lock.json")
    if not _complete(folder):
        print(f"Installing {name} into {folder} (once)", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        quiet = ("--no-audit", "--no-fund", "--omit=dev", "--ignore-scripts", "--loglevel=error")
        _run(["npm", "ci", *quiet], folder, name)
        _mark(folder)
    return folder


def _folder(name: str, lock: Path) -> Path:
    cache = os.environ.get("MODELPORT_BENCH_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    # Another lock is another folder: nothing is ever measured with what an older one left.
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    return Path(cache).expanduser().absolute() / "modelport" / f"bench-{name}-{digest}"


def _complete(folder: Path) -> bool:
    return (folder / ".complete").exists()


def _mark(folder: Path) -> None:
    (folder / ".complete").touch()


def _run(command: list[str], folder: Path, name: str) -> None:
    done = subprocess.run(command, cwd=folder, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise StartError(f"{name} could not be installed into {folder}: {command[0]} ended with {done.returncode}")

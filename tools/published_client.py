"""Make the environment that holds the published nemo-platform client, where there is none, and print its folder.

It is half a gigabyte, so it lives outside the tree and outlives it: in MODELPORT_PUBLISHED_CLIENT, else in the user's
cache folder. Its packages are locked in requirements/published-client.txt.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

VERSION = "0.3.0"
LOCK = Path(__file__).parents[1] / "requirements" / "published-client.txt"

_ASK_VERSION = "import importlib.metadata; print(importlib.metadata.version('nemo-platform'))"


def folder() -> Path:
    """Return where the environment is or will be."""
    if given := os.environ.get("MODELPORT_PUBLISHED_CLIENT"):
        return Path(given).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser().absolute() / "modelport" / f"nemo-platform-{VERSION}"


def installed(environment: Path) -> str | None:
    """Return the client's version in an environment; None where there is none, or only half of one."""
    if not (environment / "bin" / "nemo").exists():
        return None
    # pip installs a package after all that it needs: where this one is, everything is.
    ask = [str(environment / "bin" / "python"), "-I", "-c", _ASK_VERSION]
    asked = subprocess.run(ask, capture_output=True, text=True, check=False)  # noqa: S603 (our own arguments)
    return asked.stdout.strip() or None


def make(environment: Path) -> None:
    """Make the environment anew. Raises subprocess.CalledProcessError when pip fails."""
    print(f"Installing nemo-platform {VERSION} into {environment} (once; some minutes)", file=sys.stderr)
    venv.create(environment, clear=True, with_pip=True, symlinks=True)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    # What pip says belongs to a person, and standard output to the folder's name.
    # The lock names everything: pip, left to choose, would prefer a newer release that has no hash in it.
    command = [*pip, "--no-deps", "--require-hashes", "-r", str(LOCK)]
    subprocess.run(command, check=True, stdout=sys.stderr)  # noqa: S603 (our own arguments)


def main() -> int:
    """Make it if need be; exit code 1 when that fails or the folder holds another version."""
    environment = folder()
    found = installed(environment)
    if found is None:
        if environment.exists() and any(environment.iterdir()) and not (environment / "pyvenv.cfg").exists():
            print(f"{environment} holds other files: empty it, or set MODELPORT_PUBLISHED_CLIENT", file=sys.stderr)
            return 1
        try:
            make(environment)
        except subprocess.CalledProcessError:
            print(f"nemo-platform {VERSION} could not be installed into {environment}", file=sys.stderr)
            return 1
        found = installed(environment)
    if found != VERSION:
        print(f"{environment} holds nemo-platform {found}, not {VERSION}: remove it", file=sys.stderr)
        return 1
    print(environment)
    return 0


if __name__ == "__main__":
    sys.exit(main())

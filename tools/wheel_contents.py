"""Builds the wheel and compares what is in it with the source tree.

Hatchling silently leaves out a listed package folder that is missing, and would silently include what does not belong.
Exit code 1 and one line for each difference.
"""

import subprocess
import sys
import tempfile
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = {"modelport", "nemo"}
EXTRAS = {"local", "openai", "server"}


def main() -> int:
    """Build, compare, report."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)  # noqa: S603 (our own command)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
    problems = differences(contents)
    for problem in problems:
        sys.stderr.write(f"wheel: {problem}\n")
    sys.stdout.write(f"wheel: {len(contents)} files, {len(problems)} problems\n")
    return 1 if problems else 0


def differences(contents: dict[str, bytes]) -> list[str]:
    """Say what is missing from the wheel and what should not be in it, one line each."""
    modules = {name for name in contents if ".dist-info/" not in name}
    expected = {str(path.relative_to(package.parent)) for package in packages() for path in tracked(package)}
    problems = [f"{name} is missing" for name in sorted(expected - modules)]
    problems += [f"{name} does not belong in it" for name in sorted(modules - expected)]
    (info,) = {name.partition("/")[0] for name in contents if ".dist-info/" in name}
    entry_points = contents[f"{info}/entry_points.txt"].decode()
    problems += [f"the command {name} is missing" for name in sorted(SCRIPTS) if f"{name} = " not in entry_points]
    metadata = Parser().parsestr(contents[f"{info}/METADATA"].decode())
    extras = set(metadata.get_all("Provides-Extra", []))
    problems += [f"the extra {name} is missing" for name in sorted(EXTRAS - extras)]
    if f"{info}/licenses/LICENSE" not in contents:
        problems.append("the licence is missing")
    return problems


def packages() -> list[Path]:
    """Return every package folder of the house."""
    return sorted(path.parent for parent in ("libs", "services") for path in (ROOT / parent).glob("*/*/py.typed"))


def tracked(package: Path) -> list[Path]:
    """Return the files of a package that belong to it: what is neither a cache nor hidden."""
    return [
        path
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    ]


if __name__ == "__main__":
    sys.exit(main())

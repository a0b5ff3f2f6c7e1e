"""The generated references say what the code says, and the check notices when they do not."""

import subprocess
import sys
from pathlib import Path

import pytest

from modelport_cli import reference

ROOT = Path(__file__).resolve().parents[3]


def test_every_due_command_is_there() -> None:
    page = reference.render()
    for command in (
        "nemo secrets create NAME",
        "nemo inference providers create NAME",
        "nemo inference virtual-models patch NAME",
        "nemo inference gateway provider post TRAILING [NAME]",
        "nemo wait inference provider NAME",
        "nemo chat MODEL [PROMPT]",
        "nemo config use-context NAME",
        "nemo services run",
    ):
        assert f"\n{command} [OPTIONS]\n" in page


@pytest.mark.parametrize("command", [["-m", "modelport_cli.reference"], [str(ROOT / "tools/references.py")]])
def test_they_are_up_to_date(command: list[str]) -> None:
    done = subprocess.run([sys.executable, *command, "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_old_page_is_noticed_and_written_anew(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "cli.md"
    page.write_text("old")
    command = [sys.executable, "-m", "modelport_cli.reference"]
    checked = subprocess.run([*command, "--check"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert checked.returncode == 1
    assert "docs/cli.md is out of date" in checked.stderr
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    assert page.read_text() == reference.render()

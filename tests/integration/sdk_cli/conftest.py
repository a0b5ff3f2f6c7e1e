import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelport_testing.scripted import Script, serve_script


@pytest.fixture
def script() -> Iterator[Script]:
    with serve_script() as running:
        yield running


@pytest.fixture
def environment(script: Script, tmp_path: Path) -> dict[str, str]:
    """A user's environment, which names the scripted platform and nothing else of theirs."""
    # PYTHONUNBUFFERED, for one, would hide what is never flushed.
    ours = ("NMP_", "MODELPORT_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {
        "NMP_BASE_URL": script.url,
        "NMP_CONFIG_FILE": str(tmp_path / "config.yaml"),
        "HOME": str(tmp_path),
        "TERM": "xterm",
        "COLUMNS": "100",
    }

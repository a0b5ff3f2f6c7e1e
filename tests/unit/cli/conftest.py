from collections.abc import Iterator
from pathlib import Path

import pytest

from modelport_testing.scripted import Script, serve_script


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("NMP_WORKSPACE", "NMP_ACCESS_TOKEN", "MODELPORT_PORT", "MODELPORT_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NMP_CONFIG_FILE", str(tmp_path / "config.yaml"))
    monkeypatch.setenv("NMP_BASE_URL", "http://127.0.0.1:9")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    with serve_script() as running:
        monkeypatch.setenv("NMP_BASE_URL", running.url)
        yield running

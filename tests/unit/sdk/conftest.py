from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from modelport import AsyncModelport, Modelport
from modelport_testing.scripted import Script, serve_script


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("NMP_BASE_URL", "NMP_WORKSPACE", "NMP_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NMP_CONFIG_FILE", str(tmp_path / "no-config.yaml"))


@pytest.fixture
def script() -> Iterator[Script]:
    with serve_script() as running:
        yield running


@pytest.fixture
def client(script: Script) -> Iterator[Modelport]:
    with Modelport(script.url) as made:
        yield made


@pytest.fixture
async def async_client(script: Script) -> AsyncIterator[AsyncModelport]:
    async with AsyncModelport(script.url) as made:
        yield made

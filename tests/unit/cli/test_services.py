"""`nemo services run`: what is refused before anything starts. The stack itself has tests of its own."""

from pathlib import Path

import pytest

from modelport_testing.nemo import run_here as nemo


@pytest.mark.parametrize(
    ("arguments", "port", "message"),
    [
        ([], "http", "MODELPORT_PORT is 'http', which is no port"),
        ([], "70000", "MODELPORT_PORT is '70000', which is no port"),
        (["--port", "70000"], "", "--port"),
        (["--gateways", "0"], "", "--gateways"),
        (["--data-dir", ""], "", "--data-dir is empty"),
    ],
)
def test_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], port: str, message: str
) -> None:
    monkeypatch.setenv("MODELPORT_PORT", port)
    monkeypatch.setenv("MODELPORT_DATA_DIR", str(tmp_path / "data"))
    done = nemo("services", "run", *arguments)
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "data").exists()


def test_the_data_folder_of_the_environment_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file where the folder should be: the stack says so, exit code 1."""
    occupied = tmp_path / "data"
    occupied.write_text("")
    monkeypatch.setenv("MODELPORT_DATA_DIR", str(occupied))
    monkeypatch.setenv("MODELPORT_PORT", "0")
    done = nemo("services", "run")
    assert done.code == 1
    assert str(occupied) in done.err

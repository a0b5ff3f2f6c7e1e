"""Data folders that cannot be used: one clear line and exit code 1, or, where nothing is lost by it, a start."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from modelport_testing.canaries import Kind, canary
from modelport_testing.stack import LocalStack

SECRETS = "/apis/secrets/v2/workspaces/default/secrets"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that was used, and in which one secret is stored."""
    folder = tmp_path_factory.mktemp("whole")
    stack = LocalStack(folder / "data", folder / "console.txt")
    try:
        stack.start()
        httpx.post(
            stack.base_url + SECRETS, json={"name": "kept", "value": canary(Kind.PROVIDER, "sk-kept-")}
        ).raise_for_status()
        assert stack.stop(signal.SIGTERM) == 0
    finally:
        stack.close()
    return stack.data_dir


@pytest.fixture
def stack(whole: Path, tmp_path: Path) -> Iterator[LocalStack]:
    """A stack, not yet started, on a copy of that folder."""
    stack = LocalStack(shutil.copytree(whole, tmp_path / "data"), tmp_path / "console.txt")
    yield stack
    stack.close()


def error(stack: LocalStack) -> str:
    """Start it, see that it gives up, and return the one line that says why."""
    stack.launch()
    assert stack.wait() == 1, stack.console
    lines = stack.console.splitlines()
    assert [line for line in lines if "Error" in line or "again" in line] == lines[-1:], stack.console
    return lines[-1].removeprefix("Error: ")


def scramble(file: Path) -> None:
    file.write_bytes(os.urandom(max(file.stat().st_size, 300)))


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def replace_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.touch()


@pytest.mark.parametrize(
    ("service", "damage"), [("secrets", scramble), ("secrets", empty), ("models", cut), ("models", empty)]
)
def test_a_damaged_database(stack: LocalStack, service: str, damage: Callable[[Path], None]) -> None:
    file = stack.data_dir / service / f"{service}.db"
    damage(file)
    line = error(stack)
    assert line.startswith(f"modelport_{service}: the database {file} ")
    assert line.endswith("; restore it from a backup, or move it away to begin anew")


@pytest.mark.parametrize(
    ("path", "damage", "message"),
    [
        ("keys/kek", scramble, "is damaged: restore it from a backup"),
        ("keys/gateway.token", cut, "is damaged: restore it from a backup, or remove it to have a new one made"),
        ("models", replace_folder, "the data folder is damaged: "),
        ("nats", replace_folder, "the data folder is damaged: "),
        ("nats/jetstream", replace_folder, "may be moved away, no data are lost by it"),
    ],
)
def test_other_damage(stack: LocalStack, path: str, damage: Callable[[Path], None], message: str) -> None:
    damage(stack.data_dir / path)
    line = error(stack)
    assert message in line
    assert str(stack.data_dir) in line


@pytest.mark.parametrize("damage", [scramble, empty])
def test_the_event_servers_files_may_be_lost(stack: LocalStack, damage: Callable[[Path], None]) -> None:
    for file in (stack.data_dir / "nats").rglob("*"):
        if file.is_file():
            damage(file)
    stack.start()
    assert httpx.get(f"{stack.base_url}{SECRETS}/kept").status_code == 200
    assert (
        httpx.post(
            stack.base_url + SECRETS, json={"name": "new", "value": canary(Kind.PROVIDER, "sk-new-")}
        ).status_code
        == 201
    )


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("/proc/self/nothing")])
def test_a_place_where_no_folder_can_be(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Not by permissions: root, as whom tests may run, has all of them."""
    make(tmp_path / "data")
    stack = LocalStack(tmp_path / "data", tmp_path / "console.txt")
    assert str(tmp_path / "data") in error(stack)
    assert len(stack.console.splitlines()) == 1

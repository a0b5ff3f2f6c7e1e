import os
from dataclasses import replace
from pathlib import Path

import pytest

from modelport_cli.stack.binaries import NATS_SERVER, VALKEY_SERVER, Program, find_program, parse_version
from modelport_cli.stack.errors import StackError

NOT_IN_A_WHEEL = replace(NATS_SERVER, distribution="no-such-distribution")


@pytest.mark.parametrize("program", [NATS_SERVER, VALKEY_SERVER])
def test_the_wheels_carry_both(program: Program) -> None:
    path = find_program(program, {})
    assert path.name == program.name
    assert os.access(path, os.X_OK)


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("nats-server: v2.15.1\n", (2, 15)),
        ("Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64 build=15", (9, 1)),
        ("Redis server v=7.0.15 sha=00000000:0", (7, 0)),
        ("what?", None),
    ],
)
def test_versions(output: str, version: tuple[int, int] | None) -> None:
    assert parse_version(output) == version


def program_file(folder: Path, text: str) -> Path:
    path = folder / "nats-server"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_setting_wins_over_the_wheel(tmp_path: Path) -> None:
    path = program_file(tmp_path, "echo nats-server: v2.99.0")
    assert find_program(NATS_SERVER, {"MODELPORT_NATS_SERVER": str(path)}) == path


def test_path_is_searched_last(tmp_path: Path) -> None:
    path = program_file(tmp_path, "echo nats-server: v2.99.0")
    assert find_program(NOT_IN_A_WHEEL, {"PATH": str(tmp_path)}) == path


def test_a_missing_program_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"pip install 'modelport\[local\]', or set MODELPORT_NATS_SERVER"):
        find_program(NOT_IN_A_WHEEL, {"PATH": str(tmp_path)})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("echo nats-server: v2.1.0", "is version 2.1, Modelport needs 2.11 or later"),
        ("echo hello", "does not say its version"),
        ("exit 1", "does not say its version"),
    ],
)
def test_a_wrong_program_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = program_file(tmp_path, text)
    with pytest.raises(StackError, match=problem):
        find_program(NATS_SERVER, {"MODELPORT_NATS_SERVER": str(path)})


def test_a_file_that_cannot_be_run_is_refused(tmp_path: Path) -> None:
    path = program_file(tmp_path, "")
    path.chmod(0o644)
    with pytest.raises(StackError, match="cannot be run"):
        find_program(NATS_SERVER, {"MODELPORT_NATS_SERVER": str(path)})
    with pytest.raises(StackError, match="which is not a file"):
        find_program(NATS_SERVER, {"MODELPORT_NATS_SERVER": str(tmp_path / "gone")})

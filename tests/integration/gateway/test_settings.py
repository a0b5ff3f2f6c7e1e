"""A gateway process that is given settings it cannot start with says so and ends."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest


def ended(folder: Path, own: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Start a gateway with settings of its own and wait for its end."""
    token = folder / "token"
    token.write_text("t")
    nowhere = "127.0.0.1:1"
    common = {
        "MODELPORT_PORT": "0",
        "MODELPORT_MODELS_URL": f"http://{nowhere}",
        "MODELPORT_SECRETS_URL": f"http://{nowhere}",
        "MODELPORT_NATS_URL": f"nats://{nowhere}",
        "MODELPORT_REDIS_URL": f"redis://{nowhere}/0",
        "MODELPORT_SERVICE_TOKEN_FILE": str(token),
        "MODELPORT_FRONT_DOOR_TOKEN_FILE": str(token),
    }
    command = [sys.executable, "-m", "modelport_gateway"]
    return subprocess.run(command, env=os.environ | common | own, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("content", [None, "", "no certificates here"])
def test_a_ca_file_that_is_none(tmp_path: Path, content: str | None) -> None:
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_text(content)
    end = ended(tmp_path, {"MODELPORT_CA_FILE": str(ca_file)})
    assert end.returncode != 0
    assert "MODELPORT_CA_FILE" in end.stderr + end.stdout
    assert str(ca_file) in end.stderr + end.stdout
    assert "Traceback" not in end.stderr


SHORT_KEY = base64.b64encode(b"much too short").decode()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, "MODELPORT_GATEWAY_ID"),
        ({"MODELPORT_GATEWAY_ID": "one"}, "needs MODELPORT_SNAPSHOT_KEY"),
        ({"MODELPORT_GATEWAY_ID": "one", "MODELPORT_SNAPSHOT_KEY": SHORT_KEY}, "must be 32 random bytes in base64"),
    ],
)
def test_a_snapshot_without_a_name_or_a_key(tmp_path: Path, more: dict[str, str], told: str) -> None:
    end = ended(tmp_path, {"MODELPORT_SNAPSHOT_FILE": str(tmp_path / "snapshot"), **more})
    assert end.returncode == os.EX_CONFIG
    assert told in end.stderr
    assert len(end.stderr.splitlines()) == 1
    assert SHORT_KEY not in end.stderr + end.stdout

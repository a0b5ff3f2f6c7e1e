"""A gateway process that is given a CA file that is none says so and ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("content", [None, "", "no certificates here"])
def test_a_ca_file_that_is_none(tmp_path: Path, content: str | None) -> None:
    token, ca_file = tmp_path / "token", tmp_path / "ca.pem"
    token.write_text("t")
    if content is not None:
        ca_file.write_text(content)
    nowhere = "127.0.0.1:1"
    own = {
        "MODELPORT_PORT": "0",
        "MODELPORT_MODELS_URL": f"http://{nowhere}",
        "MODELPORT_SECRETS_URL": f"http://{nowhere}",
        "MODELPORT_NATS_URL": f"nats://{nowhere}",
        "MODELPORT_REDIS_URL": f"redis://{nowhere}/0",
        "MODELPORT_SERVICE_TOKEN_FILE": str(token),
        "MODELPORT_FRONT_DOOR_TOKEN_FILE": str(token),
        "MODELPORT_CA_FILE": str(ca_file),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "modelport_gateway"], env=os.environ | own, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode != 0
    assert "MODELPORT_CA_FILE" in ended.stderr + ended.stdout
    assert str(ca_file) in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr

import json
import stat
from pathlib import Path

import pytest
import yaml

from modelport_testing.nemo import run_here as nemo
from modelport_testing.scripted import Reply, Script, page


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("NMP_BASE_URL")
    return tmp_path / "config.yaml"


def test_set_makes_a_private_file(file: Path) -> None:
    done = nemo("config", "set", "--base-url", "http://x:1/", "--workspace", "team", "--access-token", "t0ken")
    assert (done.code, done.out) == (0, "")
    assert done.err == f"Context default is kept in {file}.\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert yaml.safe_load(file.read_text()) == {
        "contexts": [{"name": "default", "cluster": "default", "user": "default", "workspace": "team"}],
        "clusters": [{"name": "default", "base_url": "http://x:1"}],
        "users": [{"name": "default", "type": "token", "token": "t0ken"}],
        "current_context": "default",
    }


def test_what_is_set_is_used(file: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NMP_BASE_URL")
    script.on("GET", "/apis/secrets/v2/workspaces/team/secrets", Reply(json=page()))
    nemo("config", "set", "--base-url", script.url, "--workspace", "team")
    assert nemo("config", "set", "--access-token", "-", stdin="t0ken\n").code == 0
    assert nemo("secrets", "list").code == 0
    assert script.requests[0].headers["authorization"] == "Bearer t0ken"


def test_contexts(file: Path) -> None:
    nemo("config", "set", "--base-url", "http://a:1")
    nemo("--base-url", "http://b:2", "config", "set", "--context", "dev")
    assert "http://a:1" in nemo("inference", "get-url").out
    assert nemo("config", "use-context", "dev").code == 0
    assert "http://b:2" in nemo("inference", "get-url").out
    nemo("config", "set", "--context", "default", "--activate")
    assert "http://a:1" in nemo("inference", "get-url").out
    unknown = nemo("config", "use-context", "nope")
    assert unknown.code == 2
    assert "It has: default, dev" in unknown.err


def test_view_masks_tokens(file: Path) -> None:
    nemo("config", "set", "--base-url", "http://a:1", "--access-token", "t0ken")
    nemo("config", "set", "--base-url", "http://b:2", "--context", "dev")
    shown = nemo("config", "view").out
    assert shown.startswith(f"# {file}\n")
    assert "t0ken" not in shown
    assert [one["name"] for one in yaml.safe_load(shown)["contexts"]] == ["default"]
    everything = json.loads(nemo("config", "view", "--all-contexts", "-f", "json").out)
    assert [one["base_url"] for one in everything["clusters"]] == ["http://a:1", "http://b:2"]
    assert "t0ken" not in str(everything)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["set"], "nothing to set"),
        (["set", "--base-url", "localhost:8080"], "is no address of a platform"),
        (["set", "--access-token", " "], "the token is empty"),
        (["set", "--access-token", "a b"], "the token holds characters that no token has (it is from --access-token)"),
        (["set", "--base-url", "http://u:p@x"], "must not hold a user name or password"),
        (["set", "--workspace", "a/b"], "the workspace (it is from --workspace) is not a valid name"),
        (["set", "--activate", "--context"], "requires an argument"),
    ],
)
def test_wrong_usage(file: Path, arguments: list[str], message: str) -> None:
    done = nemo("config", *arguments)
    assert done.code == 2
    assert message in done.err
    assert not file.exists()


def test_a_damaged_file(file: Path) -> None:
    file.write_text("x: [")
    for arguments in (["config", "view"], ["secrets", "list"]):
        done = nemo(*arguments)
        assert done.code == 2
        assert f"Error: the configuration file {file} is no YAML" in done.err

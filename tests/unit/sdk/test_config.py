import stat
from pathlib import Path

import pytest
import yaml

from modelport import ConfigError
from modelport.config import ConfigFile, Connection, check_base_url, config_path, resolve

WHOLE = """
current_context: prod
clusters:
- {name: a, base_url: "https://a.example/", metadata: {k: v}}
- {name: b, base_url: "http://b.example:81/prefix"}
users:
- {name: u, type: token, token: t0ken}
- {name: none, type: no-auth}
contexts:
- {name: prod, cluster: a, user: u, workspace: team, preferences: {output_format: json}}
- {name: dev, cluster: b, user: none}
other: kept
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "nmp" / "config.yaml"
    path.parent.mkdir()
    path.write_text(WHOLE)
    return path


def test_where_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config_path({}) == tmp_path / ".config/nmp/config.yaml"
    assert config_path({"XDG_CONFIG_HOME": "/x"}) == Path("/x/nmp/config.yaml")
    assert config_path({"XDG_CONFIG_HOME": "/x", "NMP_CONFIG_FILE": "/y/c.yaml"}) == Path("/y/c.yaml")


def test_defaults(tmp_path: Path) -> None:
    environ = {"NMP_CONFIG_FILE": str(tmp_path / "absent.yaml")}
    assert resolve(environ=environ) == Connection("http://localhost:8080", "default", None, "the default")


def test_argument_environment_context_default(file: Path) -> None:
    only_file = {"NMP_CONFIG_FILE": str(file)}
    assert resolve(environ=only_file) == Connection("https://a.example", "team", "t0ken", str(file))
    environ = {
        **only_file,
        "NMP_BASE_URL": "http://env:1",
        "NMP_WORKSPACE": "env-ws",
        "NMP_ACCESS_TOKEN": "env-token",
    }
    assert resolve(environ=environ) == Connection("http://env:1", "env-ws", "env-token", "NMP_BASE_URL")
    found = resolve(base_url="http://arg:2/", workspace="arg-ws", token="arg", environ=environ)
    assert found == Connection("http://arg:2", "arg-ws", "arg", "base_url")


def test_no_token_in_reprs(file: Path) -> None:
    environ = {"NMP_CONFIG_FILE": str(file)}
    assert "t0ken" not in repr(resolve(environ=environ))
    assert "t0ken" not in repr(ConfigFile.load(file).current())
    assert "t0ken" not in str(ConfigFile.load(file).masked())


def test_setting_keeps_what_others_wrote(file: Path) -> None:
    config = ConfigFile.load(file)
    config.set("prod", workspace="other")
    config.set("new", base_url="http://n:1", token="secret")
    config.use("new")
    config.save()
    content = yaml.safe_load(file.read_text())
    assert content["other"] == "kept"
    assert content["clusters"][0] == {"name": "a", "base_url": "https://a.example/", "metadata": {"k": "v"}}
    assert content["contexts"][0]["workspace"] == "other"
    assert content["contexts"][0]["preferences"] == {"output_format": "json"}
    assert content["contexts"][2] == {"name": "new", "cluster": "new", "user": "new"}
    assert content["users"][2] == {"name": "new", "type": "token", "token": "secret"}
    assert resolve(environ={"NMP_CONFIG_FILE": str(file)}).base_url == "http://n:1"


def test_a_new_file_is_private_and_its_first_context_current(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "config.yaml"
    config = ConfigFile.load(path)
    config.set("default", base_url="http://x:1")
    config.save()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert yaml.safe_load(path.read_text()) == {
        "contexts": [{"name": "default", "cluster": "default", "user": "default"}],
        "clusters": [{"name": "default", "base_url": "http://x:1"}],
        "users": [{"name": "default", "type": "no-auth"}],
        "current_context": "default",
    }


def test_a_link_stays_a_link_and_a_lax_mode_does_not_stay(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    file.chmod(0o644)
    config = ConfigFile.load(link)
    config.set("dev", workspace="w2")
    config.save()
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_use_of_an_unknown_context(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"no context 'nope'.*prod, dev"):
        ConfigFile.load(file).use("nope")


@pytest.mark.parametrize("content", ["- a\n", "clusters: 3\n", "users: [{token: t0ken}]\n", "x: [\n  t0ken: {\n"])
def test_a_damaged_file_is_named_and_not_quoted(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        ConfigFile.load(path)
    assert str(path) in str(caught.value)
    assert "t0ken" not in str(caught.value)


def test_a_missing_current_context(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("current_context: gone\n")
    with pytest.raises(ConfigError, match="no context 'gone'"):
        resolve(environ={"NMP_CONFIG_FILE": str(path)})


@pytest.mark.parametrize(
    "text", ["localhost:8080", "ftp://x", "http://", "http://x:0", "http://x:99999", "http://x?a=1"]
)
def test_addresses_that_cannot_be(text: str) -> None:
    with pytest.raises(ConfigError, match="no address of a platform"):
        check_base_url(text)

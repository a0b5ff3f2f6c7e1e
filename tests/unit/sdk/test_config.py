import stat
import traceback
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


@pytest.mark.parametrize("token", ["SECRETTOK\nEN", "SECRETTOK EN", "SECRETT\u00f6K", "SECRETTOK\x7f", " ", "\r\n"])
def test_a_token_that_no_header_can_carry_is_refused_by_its_source(tmp_path: Path, token: str) -> None:
    path = tmp_path / "c.yaml"
    environ = {"NMP_CONFIG_FILE": str(path)}
    stored = ConfigFile.load(path)
    stored.set("default", token=token)
    stored.save()
    for source, arguments in (
        ("api_key", {"token": token, "environ": environ}),
        ("NMP_ACCESS_TOKEN", {"environ": {**environ, "NMP_ACCESS_TOKEN": token}}),
        (str(path), {"environ": environ}),
    ):
        with pytest.raises(ConfigError, match=r"the token (is empty|holds characters)") as caught:
            resolve(**arguments)
        assert f"(it is from {source})" in caught.value.message
        assert "SECRET" not in "".join(traceback.format_exception(caught.value))


def test_the_line_end_of_a_token_is_dropped(tmp_path: Path) -> None:
    environ = {"NMP_CONFIG_FILE": str(tmp_path / "none.yaml"), "NMP_ACCESS_TOKEN": "t0ken\r\n"}
    assert resolve(environ=environ).token == "t0ken"


@pytest.mark.parametrize("text", ["http://u:SECRET@127.0.0.1:1", "https://SECRET@x", "http://:SECRET@x/p"])
def test_an_address_with_a_password_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="must not hold a user name or password") as caught:
        check_base_url(text, "--base-url")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["u:SECRET@127.0.0.1:1", "http://x?key=SECRET", "http://x#SECRET", "http://x/\nSECRET@"]
)
def test_an_address_that_may_hold_a_secret_is_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="is no address of a platform") as caught:
        check_base_url(text)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("http://" + "a" * 300 + ".x", "longer than 63 characters"),
        ("http://a..x", "a host one part of which is empty"),
        ("http://x y", "characters that no URL has"),
        ("http://x:99999", "is not a URL"),
        ("http://x:0", "port from 1 to 65535"),
        ("ftp://x", "must begin with http:// or https://"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(text: str, hint: str) -> None:
    with pytest.raises(ConfigError, match="no address of a platform") as caught:
        check_base_url(text)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["http://[::1]:8080", "http://127.0.0.1", "https://a.example/prefix/", "http://a_b:1"])
def test_addresses_that_can_be(text: str) -> None:
    assert check_base_url(text) == text.rstrip("/")


def test_a_stored_password_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("clusters: [{name: a, base_url: 'http://u:SECRET@x:1/p'}]\n")
    shown = ConfigFile.load(path).masked()
    assert shown["clusters"][0]["base_url"] == "http://********@x:1/p"


@pytest.mark.parametrize("name", ["a/b", "a\nb", "A", "x"])
def test_a_workspace_that_is_no_name(tmp_path: Path, name: str) -> None:
    environ = {"NMP_CONFIG_FILE": str(tmp_path / "none.yaml"), "NMP_WORKSPACE": name}
    with pytest.raises(ConfigError, match=r"the workspace \(it is from NMP_WORKSPACE\) is not a valid name"):
        resolve(environ=environ)
    assert resolve(workspace="-", environ=environ).workspace == "-"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("clusters: [{name: a, base_url: 7777}]", "base_url of entry 1 of clusters"),
        ("contexts: [{name: a, workspace: 7777}]", "workspace of entry 1 of contexts"),
        ("contexts: [{name: a}, {name: b, cluster: [7777]}]", "cluster of entry 2 of contexts"),
        ("users: [{name: a, token: 7777}]", "token of entry 1 of users"),
    ],
)
def test_what_must_be_text_is_named_and_not_quoted(tmp_path: Path, content: str, place: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=f"{place} must be text") as caught:
        ConfigFile.load(path)
    assert "7777" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    ["a: !!int SECRET", "a: !!binary aGVsbG8=", "a: !!timestamp SECRET", "a: &x [*x]", "[" * 5000, "a: " + "9" * 5000],
)
def test_what_yaml_can_hold_and_a_file_may_not(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match="the configuration file") as caught:
        ConfigFile.load(path)
    shown = "".join(traceback.format_exception(caught.value))
    assert "SECRET" not in shown
    assert "999" not in shown


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match=r"is no text \(UTF-8\)"):
        ConfigFile.load(path)

"""Arguments that cannot be meant are refused before anything is asked of the platform."""

import pytest

from modelport_testing.nemo import run_here as nemo
from modelport_testing.scripted import (
    Reply,
    Script,
    provider,
)

PROVIDERS = "/apis/models/v2/workspaces/default/providers"


@pytest.mark.parametrize(
    ("command", "known"),
    [
        (["inference", "providers", "create"], "enabled_models"),
        (["inference", "providers", "update"], "enabled_models"),
        (["inference", "virtual-models", "create"], "default_model_entity"),
        (["models", "update"], "backend_format"),
    ],
)
def test_a_field_that_there_is_not_is_named(script: Script, command: list[str], known: str) -> None:
    fields = '{"host_url": "http://x", "enabld_models": ["SECRETVALUE"]}'
    if "providers" not in command:
        fields = '{"enabld_models": ["SECRETVALUE"]}'
    for arguments, stdin in ((["--input-data", fields], ""), (["--input-file", "-"], fields)):
        done = nemo(*command, "typo1", *arguments, stdin=stdin)
        assert done.code == 2
        assert done.err.startswith(
            f"Error: {arguments[0]} has fields that there are not: enabld_models\nHint: There are: "
        )
        assert known in done.err
        assert "SECRETVALUE" not in done.err
    assert not script.requests


def test_what_get_shows_may_be_given_back(script: Script) -> None:
    script.on("GET", f"{PROVIDERS}/openai", Reply(json=provider()))
    script.on("POST", PROVIDERS, Reply(201, json=provider("copy")))
    shown = nemo("inference", "providers", "get", "openai", "-f", "yaml").out
    assert nemo("inference", "providers", "create", "copy", "--input-file", "-", stdin=shown).code == 0
    sent = script.asked("POST", PROVIDERS)[0].json
    assert (sent["name"], sent["host_url"], "status" in sent) == ("copy", provider()["host_url"], False)


@pytest.mark.parametrize(
    "command",
    [
        ["secrets", "get", "a/b"],
        ["secrets", "create", "A", "--value", "v"],
        ["secrets", "delete", "a\nb"],
        ["inference", "providers", "get", "a--b"],
        ["inference", "virtual-models", "get", "a*b"],
        ["inference", "get-url", "--provider", "a/b"],
        ["inference", "get-url", "--virtual-model", "a/b"],
        ["inference", "gateway", "provider", "get", "v1/models", "a/b"],
        ["inference", "gateway", "model", "get", "v1/models", "--name", "a/b"],
        ["inference", "gateway", "provider", "ready", "x"],
        ["models", "get", "gpt-4-"],
        ["workspaces", "get", ".."],
        ["wait", "inference", "provider", "a b"],
        ["chat", "gpt-4", "Hi", "--provider", "a/b"],
        ["--workspace", "a\nb", "secrets", "list"],
        ["config", "set", "--workspace", "a/b"],
    ],
)
def test_a_name_that_cannot_be(script: Script, command: list[str]) -> None:
    done = nemo(*command)
    assert (done.code, done.out) == (2, "")
    assert "not a valid" in done.err
    assert "a lower-case letter first" in done.err
    assert not script.requests


@pytest.mark.parametrize(
    "text",
    [
        "{a: !!int SECRETVALUE77}",
        "{a: !!binary aGVsbG8=}",
        "{a: !!timestamp SECRETVALUE77}",
        "{a: &x [*x]}",
        '{"a": ' + "[" * 500 + "]" * 500 + "}",
        '{"a": "\\ud800"}',
        '{"a": "\udcff"}',
        "{a: " + "9" * 5000 + "}",
        '{"a": ' + "9" * 5000 + "}",
    ],
)
def test_a_body_that_json_cannot_hold(script: Script, text: str) -> None:
    done = nemo("inference", "providers", "create", "p1", "--host-url", "http://x", "--default-extra-body", text)
    assert done.code == 2
    assert done.err.startswith("Error: --default-extra-body ")
    assert len(done.err) < 100
    assert "SECRETVALUE77" not in done.err
    assert not script.requests


@pytest.mark.parametrize(
    "command",
    [
        ["models", "update"],
        ["workspaces", "update"],
        ["inference", "virtual-models", "patch"],
        ["inference", "providers", "update"],
        ["inference", "providers", "update-status"],
    ],
)
def test_an_update_that_names_nothing_is_wrong_usage(script: Script, command: list[str]) -> None:
    done = nemo(*command, "thing")
    assert done.code == 2
    assert done.err.startswith("Error: nothing to change\nHint: Name ")
    if command[-1] in {"patch", "update"} and "workspaces" not in command:
        assert nemo(*command, "thing", "--input-data", '{"no_such_member": 1}').code == 2
    assert not script.requests

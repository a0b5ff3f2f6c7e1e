"""The commands on resources: what they ask the platform, and what they print."""

import json
from pathlib import Path

import pytest

from modelport_testing.nemo import run_here as nemo
from modelport_testing.scripted import (
    Reply,
    Script,
    error,
    model,
    page,
    provider,
    secret,
    virtual_model,
    workspace,
)

SECRETS = "/apis/secrets/v2/workspaces/default/secrets"
PROVIDERS = "/apis/models/v2/workspaces/default/providers"
MODELS = "/apis/models/v2/workspaces/default/models"
GATEWAY = "/apis/inference-gateway/v2/workspaces/default"
VIRTUAL_MODELS = f"{GATEWAY}/virtual-models"
WORKSPACES = "/apis/entities/v2/workspaces"
EXISTS = Reply(409, json=error(409, "conflict", "it already exists"), headers={"x-should-retry": "false"})


def test_a_secret_from_a_pipe(script: Script) -> None:
    script.on("POST", SECRETS, Reply(201, json=secret("nvidia-api-key")))
    done = nemo("secrets", "create", "nvidia-api-key", "--from-file", "-", stdin="  nvapi-1\n")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["name"] == "nvidia-api-key"
    assert script.requests[0].json == {"name": "nvidia-api-key", "value": "nvapi-1"}


def test_a_secret_from_a_file_and_from_a_flag(script: Script, tmp_path: Path) -> None:
    script.on("POST", SECRETS, Reply(201, json=secret()))
    file = tmp_path / "key"
    file.write_text("\ufefffrom-file\r\n")
    assert nemo("secrets", "create", "k1", "--from-file", str(file), "--description", "d").code == 0
    assert nemo("secrets", "create", "k2", "--value", " from-flag ").code == 0
    assert [one.json["value"] for one in script.requests] == ["from-file", "from-flag"]
    assert script.requests[0].json["description"] == "d"


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["--from-file", "-"], b"\n", "stdin is empty: there is no secret to store"),
        (["--from-file", "-"], b"", "stdin is empty"),
        (["--from-file", "-"], b"\xff\xfe", "stdin is no text"),
        (["--from-file", "/nowhere/key"], b"", "cannot read /nowhere/key: No such file or directory"),
        (["--from-file", "/dev/null"], b"", "/dev/null is empty"),
        (["--from-file", "/dev/zero"], b"", "more than 1048576 bytes"),
        (["--value", "  "], b"", "--value is empty"),
        (["--value", "v", "--from-file", "-"], b"x", "not both"),
        ([], b"s3cret", "no secret was given"),
    ],
)
def test_a_secret_that_cannot_be(script: Script, arguments: list[str], stdin: bytes, message: str) -> None:
    done = nemo("secrets", "create", "k1", *arguments, stdin=stdin)
    assert done.code == 2
    assert message in done.err
    assert "s3cret" not in done.err
    assert not script.requests


ROTATE = "/apis/secrets/v2/rotate-encryption-keys"


def rotated(count: int, success: bool) -> Reply:
    return Reply(202, json={"rotated_secrets": count, "success": success})


def test_encryption_keys_are_rotated_until_all_are(script: Script) -> None:
    script.on("POST", ROTATE, rotated(500, False), rotated(7, True))
    done = nemo("secrets", "admin", "rotate-encryption-keys")
    assert (done.code, done.err) == (0, "500 so far.\n")
    assert json.loads(done.out) == {"rotated_secrets": 507, "success": True}


def test_a_rotation_that_gets_no_further_is_a_failure(script: Script) -> None:
    script.on("POST", ROTATE, rotated(5, False), rotated(0, False))
    done = nemo("secrets", "admin", "rotate-encryption-keys")
    assert done.code == 1
    assert json.loads(done.out) == {"rotated_secrets": 5, "success": False}
    assert "some secrets are not under the newest key yet" in done.err
    assert "the secrets service's log says why" in done.err
    assert len(script.requests) == 2


def test_the_other_secret_commands(script: Script) -> None:
    one = f"{SECRETS}/k1"
    script.on("GET", SECRETS, Reply(json=page(secret("k1"))))
    script.on("GET", one, Reply(json=secret("k1")))
    script.on("PATCH", one, Reply(json=secret("k1")))
    script.on("DELETE", one, Reply(204))
    assert json.loads(nemo("secrets", "list").out)[0]["name"] == "k1"
    assert json.loads(nemo("secrets", "get", "k1").out)["workspace"] == "default"
    assert nemo("secrets", "update", "k1", "--from-file", "-", stdin="new\n").code == 0
    assert nemo("secrets", "update", "k1", "--description", "").code == 0
    deleted = nemo("secrets", "delete", "k1")
    assert (deleted.code, deleted.out, deleted.err) == (0, "", "Secret k1 is deleted.\n")
    assert [one.json for one in script.asked("PATCH", one)] == [{"value": "new"}, {"description": None}]


@pytest.mark.parametrize(
    ("users", "total", "warning"),
    [
        (["p1"], 1, "provider p1 names it"),
        (["p1", "p2"], 2, "providers p1, p2 name it"),
        (["p1", "p2", "p3", "p4", "p5"], 7, "providers p1, p2, p3, p4, p5 and 2 more name it"),
    ],
)
def test_deleting_a_secret_that_is_used(script: Script, users: list[str], total: int, warning: str) -> None:
    script.on("DELETE", f"{SECRETS}/k1", Reply(204))
    script.on("GET", PROVIDERS, Reply(json=page(*(provider(user) for user in users), total=total)))
    deleted = nemo("secrets", "delete", "k1")
    assert (deleted.code, deleted.out) == (0, "")
    said, warned = deleted.err.splitlines()
    assert said == "Secret k1 is deleted."
    assert warned.startswith(f"Warning: {warning}: store it again, or ")
    query = script.asked("GET", PROVIDERS)[0].query
    assert json.loads(query["filter"][0]) == {"api_key_secret_name": "k1"}


def test_deleting_a_secret_that_providers_trust_by(script: Script) -> None:
    script.on("DELETE", f"{SECRETS}/ca1", Reply(204))
    believer = provider("p1", options={"ca_secret_name": "ca1"})
    other = provider("p2", options={"ca_secret_name": "ca2"})
    script.on("GET", PROVIDERS, Reply(json=page()), Reply(json=page(believer, other, provider("p3"))))
    deleted = nemo("secrets", "delete", "ca1")
    assert deleted.code == 0
    said, warned = deleted.err.splitlines()
    assert said == "Secret ca1 is deleted."
    assert warned.startswith("Warning: provider p1 names it as options.ca_secret_name: ")


def test_a_provider_as_in_the_documentation(script: Script) -> None:
    script.on("POST", PROVIDERS, Reply(201, json=provider()))
    done = nemo(
        *["inference", "providers", "create", "openai", "--host-url", "https://api.openai.com/v1"],
        *["--api-key-secret-name", "openai-api-key", "--enabled-models", "gpt-4", "--enabled-models", "gpt-3.5-turbo"],
    )
    assert done.code == 0, done.err
    assert script.requests[0].json == {
        "name": "openai",
        "host_url": "https://api.openai.com/v1",
        "api_key_secret_name": "openai-api-key",
        "enabled_models": ["gpt-4", "gpt-3.5-turbo"],
    }


@pytest.mark.parametrize("text", ['{"anthropic-version": "2023-06-01"}', "anthropic-version: 2023-06-01"])
def test_headers_as_json_or_yaml(script: Script, text: str) -> None:
    script.on("POST", PROVIDERS, Reply(201, json=provider()))
    done = nemo(
        *["inference", "providers", "create", "anthropic", "--host-url", "https://api.anthropic.com"],
        *["--auth-header-format", "X-Api-Key: {{ auth_secret }}", "--default-extra-headers", text],
        *["--default-extra-body", "{temperature: 0.5}", "--required-extra-body", '{"user": "u"}'],
        *["--required-extra-headers", "x-n: 5", "--options", "connect_timeout_s: 1"],
    )
    assert done.code == 0, done.err
    sent = script.requests[0].json
    assert sent["default_extra_headers"] == {"anthropic-version": "2023-06-01"}
    assert sent["auth_header_format"] == "X-Api-Key: {{ auth_secret }}"
    assert (sent["default_extra_body"], sent["required_extra_body"]) == ({"temperature": 0.5}, {"user": "u"})
    assert (sent["required_extra_headers"], sent["options"]) == ({"x-n": "5"}, {"connect_timeout_s": 1})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--host-url is missing"),
        (
            ["--host-url", "http://x", "--default-extra-headers", "just text"],
            "--default-extra-headers must be an object",
        ),
        (["--host-url", "http://x", "--default-extra-headers", "{a: true}"], "the value of a must be text"),
        (["--host-url", "http://x", "--default-extra-body", "[1"], "neither JSON nor YAML"),
        (["--host-url", "http://x", "--required-extra-body", "[1]"], "--required-extra-body must be an object"),
        (["--input-data", "{}", "--input-file", "-"], "not both"),
        (["--no-such-flag"], "No such option"),
    ],
)
def test_a_provider_that_cannot_be(script: Script, arguments: list[str], message: str) -> None:
    done = nemo("inference", "providers", "create", "p1", *arguments)
    assert done.code == 2
    assert message in done.err
    assert not script.requests


def test_fields_from_a_file_and_flags_over_them(script: Script) -> None:
    script.on("POST", PROVIDERS, Reply(201, json=provider()))
    fields = '{"host_url": "http://x", "description": "from file", "enabled_models": []}'
    done = nemo(
        *["inference", "providers", "create", "p1", "--input-file", "-", "--description", "from flag"], stdin=fields
    )
    assert done.code == 0, done.err
    expected = {"name": "p1", "host_url": "http://x", "description": "from flag", "enabled_models": []}
    assert script.requests[0].json == expected


def test_exist_ok(script: Script) -> None:
    script.on("POST", PROVIDERS, EXISTS)
    script.on("GET", f"{PROVIDERS}/openai", Reply(json=provider()))
    create = ["inference", "providers", "create", "openai", "--host-url", "http://x"]
    assert nemo(*create, "--exist-ok").code == 0
    refused = nemo(*create)
    assert refused.code == 1
    assert refused.err == (
        "Error: it already exists (HTTP 409)\n"
        "Hint: Choose another name, or change what exists with `nemo inference providers update openai`\n"
    )


def test_advice_that_the_platform_gives_is_not_given_twice(script: Script) -> None:
    message = "provider openai already exists; change it with PUT, or choose another name"
    script.on("POST", PROVIDERS, Reply(409, json=error(409, "conflict", message), headers={"x-should-retry": "false"}))
    refused = nemo("inference", "providers", "create", "openai", "--host-url", "http://x")
    assert refused.err == (
        f"Error: {message} (HTTP 409)\nHint: Change what exists with `nemo inference providers update openai`\n"
    )


@pytest.mark.parametrize(
    ("path", "command"),
    [
        (SECRETS, ["secrets", "create", "--value", "v"]),
        (MODELS, ["models", "create"]),
        (VIRTUAL_MODELS, ["inference", "virtual-models", "create"]),
        (WORKSPACES, ["workspaces", "create"]),
    ],
)
def test_what_exists_is_changed_by_a_command_that_there_is(script: Script, path: str, command: list[str]) -> None:
    script.on("POST", path, EXISTS)
    hint = nemo(*command, "thing").err.partition("`")[2].partition("`")[0]
    words = hint.split()
    assert words[-1] == "thing"
    shown = nemo(*words[1:-1], "--help")
    assert (shown.code, "NAME" in shown.out) == (0, True), hint


def test_lists_pass_on_what_they_are_asked_for(script: Script) -> None:
    script.on("GET", PROVIDERS, Reply(json=page(provider())))
    done = nemo(
        *["inference", "providers", "list", "--filter", 'status:"READY"', "--sort", "-name"],
        *["--page", "2", "--page-size", "5"],
    )
    assert done.code == 0
    query = {"filter": ['status:"READY"'], "sort": ["-name"], "page": ["2"], "page_size": ["5"]}
    assert script.requests[0].query == query


def test_one_page_or_all(script: Script) -> None:
    first = page(provider("p1"), number=1, pages=2, total=2)
    second = page(provider("p2"), number=2, pages=2, total=2)
    script.on("GET", PROVIDERS, Reply(json=first), Reply(json=first), Reply(json=second))
    one = nemo("inference", "providers", "list")
    assert [item["name"] for item in json.loads(one.out)] == ["p1"]
    assert one.err == "Page 1 of 2 (2 in all); --all-pages shows all.\n"
    both = nemo("inference", "providers", "list", "--all-pages")
    assert [item["name"] for item in json.loads(both.out)] == ["p1", "p2"]
    assert both.err == ""


def test_a_workspace_before_or_after_the_command(script: Script) -> None:
    system = "/apis/models/v2/workspaces/system/providers"
    script.on("GET", system, Reply(json=page(provider("nvidia-build", workspace="system"))))
    for arguments in (
        ["inference", "providers", "list", "--workspace", "system"],
        ["--workspace", "system", "inference", "providers", "list"],
        ["--workspace", "other", "inference", "providers", "list", "--workspace", "system"],
    ):
        assert json.loads(nemo(*arguments).out)[0]["name"] == "nvidia-build"


def test_updating_a_provider_keeps_the_rest(script: Script) -> None:
    one = f"{PROVIDERS}/openai"
    script.on("GET", one, Reply(json=provider(description="d", options={"max_concurrency": 3})))
    script.on("PUT", one, Reply(json=provider()))
    update = ["inference", "providers", "update", "openai"]
    assert nemo(*update, "--api-key-secret-name", "new-key", "--description", "").code == 0
    assert nemo(*update, "--replace", "--host-url", "http://y").code == 0
    assert nemo(*update, "--replace").code == 2
    assert [one.json for one in script.asked("PUT", one)] == [
        {"host_url": "https://api.openai.com/v1", "api_key_secret_name": "new-key"},
        {"host_url": "http://y"},
    ]


def test_the_other_provider_commands(script: Script) -> None:
    script.on("GET", f"{PROVIDERS}/openai", Reply(json=provider()))
    script.on("PUT", f"{PROVIDERS}/openai/status", Reply(json=provider()))
    script.on("DELETE", f"{PROVIDERS}/openai", Reply(204))
    assert json.loads(nemo("inference", "providers", "get", "openai").out)["status"] == "READY"
    assert nemo("inference", "providers", "update-status", "openai", "--status", "LOST").code == 0
    assert nemo("inference", "providers", "delete", "openai").code == 0
    assert script.asked("PUT", f"{PROVIDERS}/openai/status")[0].json == {"status": "LOST"}


def test_virtual_models(script: Script) -> None:
    script.on("POST", VIRTUAL_MODELS, Reply(201, json=virtual_model()))
    script.on("PATCH", f"{VIRTUAL_MODELS}/fast", Reply(json=virtual_model()))
    script.on("GET", VIRTUAL_MODELS, Reply(json=page(virtual_model())))
    script.on("GET", f"{VIRTUAL_MODELS}/fast", Reply(json=virtual_model()))
    script.on("DELETE", f"{VIRTUAL_MODELS}/fast", Reply(204))
    commands = ["inference", "virtual-models"]
    targets = "[{model: default/gpt-4, weight: 2}]"
    assert nemo(*commands, "create", "fast", "--models", targets, "--options", "{retry: {max_attempts: 2}}").code == 0
    assert nemo(*commands, "patch", "fast", "--default-model-entity", "", "--models", "[]").code == 0
    assert nemo(*commands, "patch", "fast", "--models", "{}").code == 2
    assert json.loads(nemo(*commands, "list", "--exclude-autoprovisioned").out)[0]["name"] == "fast"
    assert json.loads(nemo(*commands, "get", "fast").out)["name"] == "fast"
    assert nemo(*commands, "delete", "fast").code == 0
    assert script.asked("POST", VIRTUAL_MODELS)[0].json == {
        "name": "fast",
        "models": [{"model": "default/gpt-4", "weight": 2}],
        "options": {"retry": {"max_attempts": 2}},
    }
    patched = script.asked("PATCH", f"{VIRTUAL_MODELS}/fast")[0].json
    assert patched == {"models": [], "default_model_entity": None}
    assert script.asked("GET", VIRTUAL_MODELS)[0].query == {"exclude_autoprovisioned": ["true"]}


def test_a_virtual_model_whose_targets_cannot_be_called_yet(script: Script) -> None:
    targets = [
        {"model": "gpt-4"},
        {"model": "unserved"},
        {"model": "gone"},
        {"model": "other/there"},
        {"model": "gone"},
    ]
    script.on("POST", VIRTUAL_MODELS, Reply(201, json=virtual_model(models=targets)))
    listed = page(model(model_providers=["default/openai"]), model("unserved", model_providers=[]))
    script.on("GET", MODELS, Reply(json=listed))
    script.on("GET", MODELS.replace("default", "other"), Reply(404, json=error(404, "not_found", "no workspace")))
    done = nemo("inference", "virtual-models", "create", "fast", "--models", json.dumps(targets))
    assert (done.code, json.loads(done.out)["name"]) == (0, "fast")
    assert done.err == (
        "Warning: target default/unserved has no provider yet; calls fail until one serves it\n"
        "Warning: target default/gone does not exist yet; it will once a provider that serves it is registered\n"
        "Warning: target other/there does not exist yet; it will once a provider that serves it is registered\n"
    )
    (asked,) = script.asked("GET", MODELS)
    assert json.loads(asked.query["filter"][0]) == {"name": {"$in": ["gpt-4", "unserved", "gone"]}}


def test_targets_that_nobody_can_look_at_fail_no_command(script: Script) -> None:
    script.on("GET", f"{VIRTUAL_MODELS}/fast", Reply(json=virtual_model(default_model_entity="default/gpt-4")))
    script.on("GET", MODELS, Reply(403, json=error(403, "forbidden", "not for you")))
    shown = nemo("inference", "virtual-models", "get", "fast")
    assert (shown.code, shown.err) == (0, "Warning: its targets cannot be looked at: not for you\n")


def test_a_virtual_model_without_a_target_says_so(script: Script) -> None:
    script.on("GET", f"{VIRTUAL_MODELS}/fast", Reply(json=virtual_model(models=None)))
    shown = nemo("inference", "virtual-models", "get", "fast")
    assert (shown.code, shown.err) == (0, "Warning: virtual model fast names no target; calls fail until it has one\n")


def test_models(script: Script) -> None:
    script.on("POST", MODELS, Reply(201, json=model()))
    script.on("PATCH", f"{MODELS}/gpt-4", Reply(json=model()))
    script.on("GET", MODELS, Reply(json=page(model())))
    script.on("GET", f"{MODELS}/gpt-4", Reply(json=model()))
    script.on("DELETE", f"{MODELS}/gpt-4", Reply(204))
    assert nemo("models", "create", "gpt-4", "--backend-format", "OPENAI_CHAT", "--spec", "{a: 1}").code == 0
    assert nemo("models", "update", "gpt-4", "--description", "").code == 0
    assert json.loads(nemo("models", "list").out)[0]["name"] == "gpt-4"
    assert json.loads(nemo("models", "get", "gpt-4").out)["backend_format"] == "OPENAI_CHAT"
    assert nemo("models", "delete", "gpt-4").code == 0
    assert script.asked("POST", MODELS)[0].json == {
        "name": "gpt-4",
        "backend_format": "OPENAI_CHAT",
        "spec": {"a": 1},
    }
    changes = script.asked("PATCH", f"{MODELS}/gpt-4")[0].json
    assert changes == {"description": None}


def test_workspaces(script: Script) -> None:
    script.on("POST", WORKSPACES, Reply(201, json=workspace()))
    script.on("PUT", f"{WORKSPACES}/team", Reply(json=workspace()))
    script.on("GET", WORKSPACES, Reply(json=page(workspace())))
    script.on("GET", f"{WORKSPACES}/team", Reply(json=workspace()))
    script.on("DELETE", f"{WORKSPACES}/team", Reply(json={"id": "w", "message": "Workspace team is deleted."}))
    assert nemo("workspaces", "create", "team", "--description", "d").code == 0
    assert nemo("workspaces", "update", "team", "--description", "e").code == 0
    assert json.loads(nemo("workspaces", "list").out)[0]["name"] == "team"
    assert json.loads(nemo("workspaces", "get", "team").out)["id"] == "workspace-1"
    assert nemo("workspaces", "delete", "team").err == "Workspace team is deleted.\n"
    assert script.asked("POST", WORKSPACES)[0].json == {"name": "team", "description": "d"}

"""Providers (docs/wire.md, 3.3)."""

import json
from typing import Any

import httpx
import pytest

from modelport_testing.services import Services, error_of, result_of

MEMBERS = {
    "id", "name", "workspace", "project", "description", "host_url", "api_key_secret_name", "enabled_models",
    "served_models", "status", "status_message", "default_extra_headers", "required_extra_headers",
    "default_extra_body", "required_extra_body", "auth_header_format", "options", "model_deployment_id",
    "auth_context", "created_at", "updated_at",
}  # fmt: skip
FULL: dict[str, Any] = {
    "project": "research",
    "description": "Our key.",
    "host_url": "https://api.anthropic.com",
    "enabled_models": ["claude-3"],
    "default_extra_headers": {"anthropic-version": "2023-06-01"},
    "required_extra_headers": {"X-Team": "ours"},
    "default_extra_body": {"temperature": 0.5, "nested": {"a": [1, None]}},
    "required_extra_body": {"stream_options": {"include_usage": True}},
    "auth_header_format": "X-Api-Key: {{ auth_secret }}",
    "options": {"connect_timeout_s": 2.5, "max_concurrency": 8},
}
URL = {"host_url": "https://h.example"}


def providers(workspace: str) -> str:
    return f"/apis/models/v2/workspaces/{workspace}/providers"


def records(services: Services, workspace: str) -> dict[str, Any]:
    """What the workspace's records in the routing table are to be: payloads by key, without the workspace's name."""
    client, cursor, found = services.client("models", "gateway"), None, {}
    while True:
        query = {"limit": "500"} | ({"cursor": cursor} if cursor else {})
        page = result_of(client.get("/internal/v1/snapshot", params=query))
        for record in page["records"]:
            kind, owner, name = record["envelope"]["key"].split("/")
            if owner == workspace:
                found[f"{kind}/{name}"] = json.loads(record["payload"])
        cursor = page["next"]
        if cursor is None:
            return found


def test_a_new_provider(services: Services, models: httpx.Client, workspace: str) -> None:
    reply = models.post(providers(workspace), json={"name": "openai", **URL, "unknown": {"is": "ignored"}})
    made = result_of(reply, 201)
    assert set(made) == MEMBERS
    assert made["id"].startswith("model-provider-")
    assert (made["status"], made["status_message"], made["served_models"]) == ("CREATED", "", [])
    kept = {
        "id",
        "name",
        "workspace",
        "host_url",
        "status",
        "status_message",
        "served_models",
        "created_at",
        "updated_at",
    }
    assert all(made[name] is None for name in MEMBERS - kept)
    assert result_of(models.get(f"{providers(workspace)}/openai")) == made
    assert reply.headers["x-modelport-revision"].startswith("models.")
    assert records(services, workspace)["provider/openai"]["host_url"] == "https://h.example"


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("http://169.254.169.254/latest", "link-local"),
        ("http://10.0.0.5:8000/v1", "private"),
        ("http://[::ffff:10.0.0.5]", "private"),
        ("https://[fd00:ec2::254]/", "cloud metadata"),
        ("http://0.0.0.0:11434", "unspecified"),
    ],
)
def test_an_address_that_gateways_do_not_call(models: httpx.Client, workspace: str, address: str, kind: str) -> None:
    for reply in (
        models.post(providers(workspace), json={"name": "inside", "host_url": address}),
        models.put(f"{providers(workspace)}/inside", json={"host_url": address}),
    ):
        message = error_of(reply, 422, "invalid_input")
        assert "host_url: " in message
        assert kind in message
        assert "MODELPORT_EGRESS_ALLOW" in message
        (item,) = reply.json()["detail"]
        assert (item["type"], item["loc"]) == ("egress_refused", ["body", "host_url"])
    assert models.get(f"{providers(workspace)}/inside").status_code == 404


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f.1", "0177.0.0.1", "[fe80::1%25eth0]", "%31.test", "u@h"])
def test_a_host_in_a_spelling_that_hides_it(models: httpx.Client, workspace: str, host: str) -> None:
    reply = models.post(providers(workspace), json={"name": "hidden", "host_url": f"http://{host}"})
    assert "host_url" in error_of(reply, 422)


@pytest.mark.parametrize("host", ["127.0.0.1:11434", "localhost", "metadata.internal", "8.8.8.8", "host."])
def test_allowed_addresses_and_names_are_judged_when_they_are_called(
    models: httpx.Client, workspace: str, host: str
) -> None:
    result_of(models.post(providers(workspace), json={"name": "there", "host_url": f"http://{host}"}), 201)


def test_everything_is_kept(models: httpx.Client, secrets: httpx.Client, workspace: str) -> None:
    result_of(secrets.post(f"/apis/secrets/v2/workspaces/{workspace}/secrets", json={"name": "key", "value": "v"}), 201)
    made = result_of(models.post(providers(workspace), json={"name": "pp", **FULL, "api_key_secret_name": "key"}), 201)
    assert {name: made[name] for name in FULL if name != "options"} == {
        name: value for name, value in FULL.items() if name != "options"
    }
    assert made["api_key_secret_name"] == "key"
    assert {name: value for name, value in made["options"].items() if value is not None} == FULL["options"]


def test_put_replaces_all_but_what_is_not_the_users(models: httpx.Client, workspace: str) -> None:
    path = f"{providers(workspace)}/pp"
    new = models.put(path, json=FULL)
    made = result_of(new, 201)
    served = [{"model_entity_id": f"{workspace}/claude-3", "served_model_name": "claude-3"}]
    result_of(models.put(f"{path}/status", json={"status": "READY", "status_message": "fine", "served_models": served}))

    replaced = result_of(models.put(path, json={"host_url": "https://other.example"}))
    assert replaced["host_url"] == "https://other.example"
    assert all(replaced[name] is None for name in FULL if name not in {"host_url", "options"})
    assert replaced["options"] == made["options"], "clients that do not know it keep it"
    assert (replaced["id"], replaced["created_at"]) == (made["id"], made["created_at"])
    assert (replaced["status"], replaced["status_message"], replaced["served_models"]) == ("READY", "fine", served)
    assert replaced["updated_at"] > made["updated_at"]
    assert result_of(models.put(path, json={**URL, "options": None}))["options"] is None
    assert new.headers["x-modelport-revision"] != models.get(path).headers["x-modelport-revision"]


def test_put_needs_a_legal_name(models: httpx.Client, workspace: str) -> None:
    for name in ("Bad", "a", "a--b", "x" * 64):
        reply = models.put(f"{providers(workspace)}/{name}", json=URL)
        error_of(reply, 422, "invalid_input")
        assert reply.json()["detail"][0]["loc"] == ["path", "name"]


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("field", ["api_key_secret_name", "options.ca_secret_name"])
def test_the_secret_must_be_there(
    models: httpx.Client, secrets: httpx.Client, workspace: str, method: str, field: str
) -> None:
    path = providers(workspace) + ("/pp" if method == "PUT" else "")
    names = {"options": {"ca_secret_name": "my-key"}} if "." in field else {field: "my-key"}
    body = {"name": "pp", **URL, **names}
    message = error_of(models.request(method, path, json=body), 400, "secret_missing")
    assert f"{workspace}/my-key" in message
    assert message.endswith(field)
    error_of(models.get(f"{providers(workspace)}/pp"), 404)
    stored = f"/apis/secrets/v2/workspaces/{workspace}/secrets"
    result_of(secrets.post(stored, json={"name": "my-key", "value": "v"}), 201)
    made = result_of(models.request(method, path, json=body), 201)
    assert "my-key" in (made["api_key_secret_name"], (made["options"] or {}).get("ca_secret_name"))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("host_url", None),
        ("host_url", ""),
        ("host_url", 5),
        ("host_url", "example.com"),
        ("host_url", "ftp://example.com"),
        ("host_url", "https://me:hunter2@example.com"),
        ("host_url", "https://me:hunter2/@example.com"),
        ("host_url", "https://example.com/#hunter2"),
        ("host_url", "https://example.com/" + "x" * 2048),
        ("api_key_secret_name", "Not A Name"),
        ("api_key_secret_name", "other/key"),
        ("auth_header_format", "hunter2"),
        ("auth_header_format", "Authorization: Bearer {{ hunter2 }}"),
        ("auth_header_format", "Host: {{ auth_secret }}"),
        ("enabled_models", "gpt-4"),
        ("enabled_models", [""]),
        ("enabled_models", ["x" * 513]),
        ("default_extra_headers", {"a": 1}),
        ("default_extra_headers", ["a"]),
        ("default_extra_body", [1]),
        ("default_extra_body", "x"),
        ("project", "x" * 256),
        ("description", "x" * 4097),
        ("model_deployment_id", "x" * 256),
        ("options", {"connect_timeout_s": 0}),
        ("options", {"connect_timeout_s": -1}),
        ("options", {"connect_timeout_s": 0.05}),
        ("options", {"total_timeout_s": 86401}),
        ("options", {"max_concurrency": 0}),
        ("options", {"max_queue_s": -1}),
        ("options", {"ca_secret_name": "Not A Name"}),
        ("options", {"no_such_option": 1}),
        ("options", {"max_concurrency": 1.5}),
    ],
)
def test_members_that_cannot_be(models: httpx.Client, member: str, value: object) -> None:
    body = {"name": "pp", **URL, member: value}
    for reply in (models.post(providers("default"), json=body), models.put(f"{providers('default')}/pp", json=body)):
        error_of(reply, 422, "invalid_input")
        assert reply.json()["detail"][0]["loc"][:2] == ["body", member]
        assert "hunter2" not in reply.text or member == "auth_header_format"


@pytest.mark.parametrize(
    "raw", ['{"a":NaN}', '{"a":Infinity}', '{"a":"\\u0000"}', '{"a":"\\ud800"}', '{"a":' * 70 + "1" + "}" * 70]
)
def test_json_that_cannot_be_kept(models: httpx.Client, raw: str) -> None:
    body = f'{{"name":"pp","host_url":"https://h.example","default_extra_body":{raw}}}'
    reply = models.post(providers("default"), content=body.encode(), headers={"content-type": "application/json"})
    error_of(reply, 422, "invalid_input")


@pytest.mark.parametrize("member", ["default_extra_headers", "required_extra_headers"])
def test_headers_that_are_not_the_users(models: httpx.Client, member: str) -> None:
    for name in ("Authorization", "proxy-authorization", "Cookie", "X-Api-Key", "api-key"):
        body = {"name": "pp", **URL, member: {name: "Bearer hunter2"}}
        reply = models.post(providers("default"), json=body)
        message = error_of(reply, 400, "header_not_allowed")
        assert member in message
        assert "use auth_header_format" in message
        assert "hunter2" not in reply.text
    for name in ("host", "Content-Length", "transfer-encoding", "Connection", "te", "x-modelport-x", "a b", ""):
        reply = models.put(f"{providers('default')}/pp", json={**URL, member: {name: "x"}})
        assert member in error_of(reply, 400, "header_not_allowed")


def test_a_record_too_large_for_the_table(models: httpx.Client, workspace: str) -> None:
    body = {"name": "pp", **URL, "default_extra_body": {"a": "x" * 70_000}}
    message = error_of(models.post(providers(workspace), json=body), 413, "record_too_large")
    assert f"provider/{workspace}/pp" in message
    error_of(models.get(f"{providers(workspace)}/pp"), 404)


def test_broken_bodies(models: httpx.Client) -> None:
    headers = {"content-type": "application/json"}
    path = providers("default")
    assert "not valid JSON" in error_of(models.post(path, content=b'{"name":', headers=headers), 422)
    for content in (b"", b"[]", b'"x"', b"null", b"5"):
        assert "a JSON object is expected" in error_of(models.post(path, content=content, headers=headers), 422)
    assert "content-type" in error_of(
        models.post(path, content=b'{"name":"pp"}', headers={"content-type": "text/plain"}), 422
    )
    error_of(models.post(path, content=b'{"name":"\xff"}', headers=headers), 400, "unreadable_body")
    large = b'{"name":"' + b"x" * (1024 * 1024) + b'"}'
    error_of(models.post(path, content=large, headers=headers), 413, "body_too_large")
    error_of(models.post(path, content=iter([large[:-5], large[-5:]]), headers=headers), 413, "body_too_large")


def served(workspace: str, **ids: str) -> list[dict[str, str]]:
    return [
        {"model_entity_id": f"{workspace}/{entity.replace('_', '-')}", "served_model_name": model_id}
        for entity, model_id in ids.items()
    ]


def test_status_changes_what_it_names(services: Services, models: httpx.Client, workspace: str) -> None:
    path = f"{providers(workspace)}/pp"
    result_of(models.put(path, json=URL), 201)
    assert result_of(models.put(f"{path}/status", json={"status": "LOST"}))["status"] == "LOST"
    changed = result_of(models.put(f"{path}/status", json={"status_message": "gone"}))
    assert (changed["status"], changed["status_message"]) == ("LOST", "gone")
    assert result_of(models.put(f"{path}/status", json={}))["status_message"] == "gone"
    assert records(services, workspace)["provider/pp"]["status"] == "LOST"
    error_of(models.put(f"{path}/status", json={"status": "GREAT"}), 422)
    error_of(models.put(f"{providers(workspace)}/nothing/status", json={"status": "READY"}), 404)


def test_served_models_make_entities_and_virtual_models(
    services: Services, models: httpx.Client, workspace: str
) -> None:
    path = f"{providers(workspace)}/pp"
    entities = f"/apis/models/v2/workspaces/{workspace}/models"
    virtual_models = f"/apis/inference-gateway/v2/workspaces/{workspace}/virtual-models"
    result_of(models.put(path, json=URL), 201)
    two = served(workspace, gpt_4="gpt-4", claude_3="anthropic/claude-3")
    assert result_of(models.put(f"{path}/status", json={"served_models": two}))["served_models"] == sorted(
        two, key=lambda one: one["served_model_name"]
    )
    model = result_of(models.get(f"{entities}/gpt-4"))
    assert model["model_providers"] == [f"{workspace}/pp"]
    virtual_model = result_of(models.get(f"{virtual_models}/gpt-4"))
    assert (virtual_model["autoprovisioned"], virtual_model["default_model_entity"]) == (True, f"{workspace}/gpt-4")
    assert [target["model"] for target in virtual_model["models"]] == [f"{workspace}/gpt-4"]
    assert virtual_model["entity_id"] == virtual_model["id"]
    found = records(services, workspace)
    assert found["model/claude-3"]["served_by"] == [{"provider": f"{workspace}/pp", "served_id": "anthropic/claude-3"}]
    assert found["model/claude-3"]["backend_format"] == "ANTHROPIC_MESSAGES"
    assert "served_models" not in found["provider/pp"]

    result_of(models.put(f"{path}/status", json={"served_models": served(workspace, gpt_4="gpt-4")}))
    error_of(models.get(f"{entities}/claude-3"), 404)
    error_of(models.get(f"{virtual_models}/claude-3"), 404)
    assert result_of(models.get(f"{entities}/gpt-4"))["id"] == model["id"]
    result_of(models.put(f"{path}/status", json={"served_models": []}))
    assert set(records(services, workspace)) == {f"workspace/{workspace}", "provider/pp"}


@pytest.mark.parametrize(
    ("entity", "model_id"),
    [
        ("{}/Bad Name", "x"),
        ("{}/" + "a" * 64, "x"),
        ("{}/", "x"),
        ("gpt-4", "x"),
        ("other/gpt-4", "x"),
        ("{}/gpt-4", ""),
        ("{}/gpt-4", "x" * 513),
        ("{}/gpt-4", "line\nbreak"),
    ],
)
def test_served_models_that_cannot_be(models: httpx.Client, workspace: str, entity: str, model_id: str) -> None:
    path = f"{providers(workspace)}/pp"
    result_of(models.put(path, json=URL), 201)
    fine, wrong = (
        served(workspace, aa="aa")[0],
        {"model_entity_id": entity.format(workspace), "served_model_name": model_id},
    )
    reply = models.put(f"{path}/status", json={"status": "READY", "served_models": [fine, wrong]})
    error_of(reply, 422, "invalid_input")
    assert reply.json()["detail"][0]["loc"][:3] == ["body", "served_models", 1]
    unchanged = result_of(models.get(path))
    assert (unchanged["status"], unchanged["served_models"]) == ("CREATED", [])


def test_a_deleted_provider_takes_along_what_only_it_served(
    services: Services, models: httpx.Client, workspace: str
) -> None:
    for name, ids in (("one", served(workspace, shared="a", only="b")), ("two", served(workspace, shared="A"))):
        result_of(models.put(f"{providers(workspace)}/{name}", json=URL), 201)
        result_of(models.put(f"{providers(workspace)}/{name}/status", json={"served_models": ids}))
    both = records(services, workspace)["model/shared"]["served_by"]
    assert both == [
        {"provider": f"{workspace}/one", "served_id": "a"},
        {"provider": f"{workspace}/two", "served_id": "A"},
    ]
    reply = models.delete(f"{providers(workspace)}/one")
    assert reply.headers["x-modelport-revision"].startswith("models.")
    result_of(reply, 204)
    found = records(services, workspace)
    assert found["model/shared"]["served_by"] == [{"provider": f"{workspace}/two", "served_id": "A"}]
    assert set(found) == {f"workspace/{workspace}", "provider/two", "model/shared", "virtual-model/shared"}
    error_of(models.delete(f"{providers(workspace)}/one"), 404)


def test_the_built_in_provider(models: httpx.Client) -> None:
    built_in = result_of(models.get(f"{providers('system')}/nvidia-build"))
    assert built_in["host_url"] == "https://integrate.api.nvidia.com"
    assert built_in["api_key_secret_name"] == "ngc-api-key"
    assert "NGC_API_KEY" in built_in["description"]
    listed = result_of(models.get(providers("system")))["data"]
    assert "nvidia-build" in [provider["name"] for provider in listed]

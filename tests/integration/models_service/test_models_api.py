"""Model entities and virtual models (docs/wire.md, 3.3)."""

from typing import Any

import httpx
import pytest

from modelport_testing.services import error_of, result_of


def models_of(workspace: str) -> str:
    return f"/apis/models/v2/workspaces/{workspace}/models"


def virtual_models_of(workspace: str) -> str:
    return f"/apis/inference-gateway/v2/workspaces/{workspace}/virtual-models"


def serve(models: httpx.Client, workspace: str, *names: str, provider: str = "pp") -> None:
    """Let a provider serve models of these names, and only those."""
    path = f"/apis/models/v2/workspaces/{workspace}/providers/{provider}"
    assert models.put(path, json={"host_url": "https://h.example"}).is_success
    served = [{"model_entity_id": f"{workspace}/{name}", "served_model_name": name} for name in names]
    result_of(models.put(f"{path}/status", json={"status": "READY", "served_models": served}))


def test_a_models_life(models: httpx.Client, workspace: str) -> None:
    body = {
        "name": "mine", "description": "fine-tuned", "base_model": "llama", "spec": {"size": 8}, "adapters": [],
        "backend_format": "OPENAI_CHAT", "custom_fields": {"a": None}, "trust_remote_code": False,
        "api_endpoint": {"url": "https://h.example", "model_id": "m"}, "model_providers": ["ignored/ignored"],
    }  # fmt: skip
    made = result_of(models.post(models_of(workspace), json=body), 201)
    assert made["description"] == "fine-tuned"
    assert (made["spec"], made["custom_fields"], made["adapters"]) == ({"size": 8}, {"a": None}, [])
    assert not made["model_providers"]
    path = f"{models_of(workspace)}/mine"
    shown = result_of(models.get(path, params={"verbose": "true"}))
    assert {**shown, "model_providers": None} == {**made, "model_providers": None}
    changed = result_of(models.patch(path, json={"description": None, "spec": {"size": 9}}))
    assert (changed["description"], changed["spec"], changed["base_model"]) == (None, {"size": 9}, "llama")
    assert changed["updated_at"] > made["updated_at"]
    result_of(models.delete(path), 204)
    error_of(models.get(path), 404)


@pytest.mark.parametrize(
    "body", [{"backend_format": "FTP"}, {"spec": "x"}, {"trust_remote_code": "perhaps"}, {"adapters": {}}]
)
def test_model_members_that_cannot_be(models: httpx.Client, body: dict[str, Any]) -> None:
    reply = models.post(models_of("default"), json={"name": "mine", **body})
    error_of(reply, 422)
    assert reply.json()["detail"][0]["loc"][1] in body


def test_discovery_never_overwrites_what_a_user_set(models: httpx.Client, workspace: str) -> None:
    serve(models, workspace, "claude-3", "gpt-4")
    path = f"{models_of(workspace)}/claude-3"
    assert result_of(models.get(path))["backend_format"] == "ANTHROPIC_MESSAGES"
    result_of(models.patch(path, json={"backend_format": "OPENAI_CHAT", "description": "behind a translator"}))
    serve(models, workspace)
    kept = result_of(models.get(path))
    assert (kept["backend_format"], kept["description"], kept["model_providers"]) == (
        "OPENAI_CHAT",
        "behind a translator",
        [],
    )
    error_of(models.get(f"{models_of(workspace)}/gpt-4"), 404)
    serve(models, workspace, "claude-3")
    again = result_of(models.get(path))
    assert (again["id"], again["backend_format"]) == (kept["id"], "OPENAI_CHAT")
    assert again["model_providers"] == [f"{workspace}/pp"]


def test_a_user_may_describe_a_model_before_it_is_served(models: httpx.Client, workspace: str) -> None:
    made = result_of(models.post(models_of(workspace), json={"name": "gpt-4", "description": "soon"}), 201)
    serve(models, workspace, "gpt-4")
    shown = result_of(models.get(f"{models_of(workspace)}/gpt-4"))
    assert (shown["id"], shown["description"], shown["model_providers"]) == (made["id"], "soon", [f"{workspace}/pp"])


def test_a_served_model_stays(models: httpx.Client, workspace: str) -> None:
    serve(models, workspace, "gpt-4")
    message = error_of(models.delete(f"{models_of(workspace)}/gpt-4"), 409, "model_is_served")
    assert "pp" in message
    assert "enabled_models" in message
    serve(models, workspace)
    error_of(models.delete(f"{models_of(workspace)}/gpt-4"), 404)


def test_a_virtual_models_life(models: httpx.Client, workspace: str) -> None:
    body = {
        "name": "fast", "default_model_entity": "gpt-4", "override_proxy": {"a": 1},
        "models": [{"model": "gpt-4", "weight": 3}, {"model": "other/gpt-5", "priority": 1}],
        "options": {"retry": {"max_attempts": 3}, "mirror": {"model": "gpt-6", "percent": 5}},
    }  # fmt: skip
    made = result_of(models.post(virtual_models_of(workspace), json=body), 201)
    assert (made["autoprovisioned"], made["parent"], made["entity_id"]) == (False, "", made["id"])
    assert [(one["model"], one["weight"], one["priority"]) for one in made["models"]] == [
        ("gpt-4", 3, 0),
        ("other/gpt-5", 1, 1),
    ]
    path = f"{virtual_models_of(workspace)}/fast"
    assert result_of(models.get(path)) == made
    changed = result_of(models.patch(path, json={"models": [{"model": "gpt-7"}]}))
    assert [one["model"] for one in changed["models"]] == ["gpt-7"]
    assert (changed["options"], changed["override_proxy"]) == (made["options"], {"a": 1})
    assert result_of(models.patch(path, json={"options": None}))["options"] is None
    result_of(models.delete(path), 204)
    error_of(models.patch(path, json={}), 404)


def test_wildcards(models: httpx.Client, workspace: str) -> None:
    for name in ("gpt-*", "a*"):
        assert result_of(models.post(virtual_models_of(workspace), json={"name": name}), 201)["name"] == name
        assert result_of(models.get(f"{virtual_models_of(workspace)}/{name}"))["name"] == name
        result_of(models.delete(f"{virtual_models_of(workspace)}/{name.replace('*', '%2A')}"), 204)
    for name in ("*", "a**", "*a", "a*b"):
        error_of(models.post(virtual_models_of(workspace), json={"name": name}), 422)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("request_middleware", [{"name": "guardrails"}]),
        ("response_middleware", [{"name": "guardrails", "config": {}}]),
        ("post_response_middleware", [{}]),
        ("models", [{"model": "Not A Name"}]),
        ("models", [{"model": "a1/b1/c1"}]),
        ("models", [{}]),
        ("models", [{"model": "gpt-4", "weight": -1}]),
        ("models", [{"model": "gpt-4", "priority": 101}]),
        ("models", "gpt-4"),
        ("default_model_entity", "/gpt-4"),
        ("options", {"retry": {"statuses": [200]}}),
        ("options", {"unknown": 1}),
        ("project", "x" * 256),
    ],
)
def test_virtual_model_members_that_cannot_be(models: httpx.Client, member: str, value: object) -> None:
    reply = models.post(virtual_models_of("default"), json={"name": "fast", member: value})
    message = error_of(reply, 422, "invalid_input")
    assert reply.json()["detail"][0]["loc"][:2] == ["body", member]
    assert "middleware" not in member or "guardrails" in message or value == [{}]


def test_a_virtual_model_of_a_users_own_is_never_touched(models: httpx.Client, workspace: str) -> None:
    path = f"{virtual_models_of(workspace)}/gpt-4"
    made = result_of(
        models.post(virtual_models_of(workspace), json={"name": "gpt-4", "models": [{"model": "mine"}]}), 201
    )
    serve(models, workspace, "gpt-4")
    assert result_of(models.get(path)) == made
    serve(models, workspace)
    assert result_of(models.get(path)) == made
    serve(models, workspace, "gpt-4")
    result_of(models.delete(path), 204)
    back = result_of(models.get(path))
    assert back["autoprovisioned"], "the served model has its own again"
    assert back["id"] != made["id"]


def test_a_patch_that_names_nothing_changes_nothing(models: httpx.Client, workspace: str) -> None:
    serve(models, workspace, "gpt-4")
    for path in (f"{virtual_models_of(workspace)}/gpt-4", f"{models_of(workspace)}/gpt-4"):
        before = models.get(path)
        for body in ({}, {"no_such_member": 1}):
            reply = models.patch(path, json=body)
            assert result_of(reply) == before.json()
            assert reply.headers["x-modelport-revision"] == before.headers["x-modelport-revision"]
    serve(models, workspace)
    for path in (f"{virtual_models_of(workspace)}/gpt-4", f"{models_of(workspace)}/gpt-4"):
        error_of(models.get(path), 404)


def test_a_user_may_take_over_what_discovery_made(models: httpx.Client, workspace: str) -> None:
    serve(models, workspace, "gpt-4", "gpt-5", "gpt-6")
    taken = result_of(models.patch(f"{virtual_models_of(workspace)}/gpt-4", json={"project": "ours"}))
    assert not taken["autoprovisioned"]
    put_in_place = result_of(models.post(virtual_models_of(workspace), json={"name": "gpt-5"}), 201)
    assert not put_in_place["autoprovisioned"]
    error_of(models.post(virtual_models_of(workspace), json={"name": "gpt-5"}), 409)
    own = result_of(
        models.get(virtual_models_of(workspace), params={"exclude_autoprovisioned": "true", "sort": "name"})
    )
    assert [one["name"] for one in own["data"]] == ["gpt-4", "gpt-5"]
    made = result_of(models.get(virtual_models_of(workspace), params={"filter[autoprovisioned]": "true"}))
    assert [one["name"] for one in made["data"]] == ["gpt-6"]
    serve(models, workspace)
    left = result_of(models.get(virtual_models_of(workspace), params={"sort": "name"}))
    assert [one["name"] for one in left["data"]] == ["gpt-4", "gpt-5"]

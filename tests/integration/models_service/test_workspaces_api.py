"""Workspaces (docs/wire.md, 3.3)."""

import httpx
import pytest

from modelport_contracts.names import new_id
from modelport_testing.polling import eventually_sync
from modelport_testing.services import Services, error_of, result_of

PATH = "/apis/entities/v2/workspaces"


def test_a_workspaces_life(models: httpx.Client) -> None:
    name = new_id("w").lower()
    made = result_of(models.post(PATH, json={"name": name, "description": "ours", "unknown": 1}), 201)
    assert set(made) == {"id", "name", "description", "created_at", "created_by", "updated_at", "updated_by"}
    assert (made["name"], made["description"]) == (name, "ours")
    assert result_of(models.get(f"{PATH}/{name}")) == made
    changed = result_of(models.put(f"{PATH}/{name}", json={"description": None}))
    assert changed["description"] is None
    assert changed["updated_at"] > made["updated_at"]
    assert error_of(models.post(PATH, json={"name": name}), 409, "conflict")
    assert result_of(models.delete(f"{PATH}/{name}")) == {
        "id": made["id"],
        "message": f"workspace {name} and everything in it is deleted",
    }
    for reply in (models.get(f"{PATH}/{name}"), models.put(f"{PATH}/{name}", json={}), models.delete(f"{PATH}/{name}")):
        error_of(reply, 404, "not_found")


@pytest.mark.parametrize("name", ["default", "system"])
def test_built_in_workspaces_stay(models: httpx.Client, name: str) -> None:
    assert result_of(models.get(f"{PATH}/{name}"))["name"] == name
    assert "built in" in error_of(models.delete(f"{PATH}/{name}"), 403)
    error_of(models.post(PATH, json={"name": name}), 409)
    assert result_of(models.get(f"{PATH}/{name}"))["name"] == name


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "-"},
        {"name": "Bad"},
        {"name": "ab", "description": 5},
        {"name": "ab", "description": "x" * 5000},
        {"name": "ab", "description": "nul \0"},
    ],
)
def test_bodies_that_cannot_be(models: httpx.Client, body: dict[str, object]) -> None:
    error_of(models.post(PATH, json=body), 422, "invalid_input")


def test_everything_in_it_goes_with_it(
    services: Services, models: httpx.Client, secrets: httpx.Client, workspace: str
) -> None:
    providers = f"/apis/models/v2/workspaces/{workspace}/providers"
    entities = f"/apis/models/v2/workspaces/{workspace}/models"
    virtual_models = f"/apis/inference-gateway/v2/workspaces/{workspace}/virtual-models"
    stored = f"/apis/secrets/v2/workspaces/{workspace}/secrets"
    old_id = result_of(models.get(f"{PATH}/{workspace}"))["id"]
    for name in ("one", "two"):
        result_of(secrets.post(stored, json={"name": name, "value": "old value"}), 201)
    result_of(
        models.post(providers, json={"name": "pp", "host_url": "https://h.example", "api_key_secret_name": "one"}), 201
    )
    served = [{"model_entity_id": f"{workspace}/gpt-4", "served_model_name": "gpt-4"}]
    result_of(models.put(f"{providers}/pp/status", json={"status": "READY", "served_models": served}))
    result_of(models.post(virtual_models, json={"name": "mine", "models": [{"model": "gpt-4"}]}), 201)

    reply = models.delete(f"{PATH}/{workspace}")
    revision = int(reply.headers["x-modelport-revision"].removeprefix("models."))
    result_of(reply)
    for path in (providers, entities, virtual_models):
        error_of(models.get(path), 404, "not_found")
    changes = result_of(
        services.client("models", "gateway").get("/internal/v1/changes", params={"after": revision - 1})
    )
    removed = {
        record["envelope"]["key"] for record in changes["records"] if record["envelope"]["operation"] == "delete"
    }
    assert removed == {
        f"workspace/{workspace}/{workspace}",
        f"provider/{workspace}/pp",
        f"model/{workspace}/gpt-4",
        f"virtual-model/{workspace}/gpt-4",
        f"virtual-model/{workspace}/mine",
    }

    # a new one of the same name is another workspace: what is stored in it stays, what was in the old one goes
    assert result_of(models.post(PATH, json={"name": workspace}), 201)["id"] != old_id
    eventually_sync(lambda: secrets.get(f"{stored}/one").status_code == 404, 10)
    result_of(secrets.post(stored, json={"name": "one", "value": "new value"}), 201)
    eventually_sync(lambda: secrets.get(f"{stored}/two").status_code == 404, 10)
    assert [item["name"] for item in result_of(secrets.get(stored))["data"]] == ["one"]
    access = result_of(services.client("secrets", "gateway").get(f"{stored}/one/access"))
    assert access == {"name": "one", "workspace": workspace, "value": "new value"}

"""Secrets through HTTP (docs/wire.md, 1 and 3.3): stored, never shown, and never in an error or a log."""

from typing import Any

import httpx
import pytest

from modelport_testing.canaries import Kind, canary
from modelport_testing.services import Services, error_of, make_workspace, result_of

CANARY = canary(Kind.PROVIDER, "sk-hunter2-")
VALUE = f"{CANARY}-ÄÖ€"


def path_of(workspace: str) -> str:
    return f"/apis/secrets/v2/workspaces/{workspace}/secrets"


def reveal(services: Services, workspace: str, name: str) -> httpx.Response:
    return services.client("secrets", "gateway").get(f"{path_of(workspace)}/{name}/access")


def markers(services: Services, workspace: str) -> dict[str, int]:
    """The versions that the workspace's markers tell, by name."""
    page = result_of(services.client("secrets", "gateway").get("/internal/v1/snapshot", params={"limit": "5000"}))
    assert page["next"] is None
    found = {}
    for record in page["records"]:
        assert set(record["payload"].replace('"', "").strip("{}").split(",")[0].split(":")) >= {"workspace"}
        kind, owner, name = record["envelope"]["key"].split("/")
        assert kind == "secret"
        if owner == workspace:
            found[name] = record["envelope"]["revision"]
    return found


def test_a_secrets_life(services: Services, secrets: httpx.Client, workspace: str) -> None:
    path = path_of(workspace)
    reply = secrets.post(path, json={"name": "key", "value": VALUE, "description": "ours", "unknown": 1})
    made = result_of(reply, 201)
    assert set(made) == {"name", "workspace", "description", "created_at", "updated_at"}
    assert (made["name"], made["workspace"], made["description"]) == ("key", workspace, "ours")
    first = int(reply.headers["x-modelport-revision"].removeprefix("secrets."))
    assert markers(services, workspace) == {"key": first}
    assert result_of(secrets.get(f"{path}/key")) == made
    revealed = reveal(services, workspace, "key")
    assert result_of(revealed) == {"name": "key", "workspace": workspace, "value": VALUE}
    assert revealed.headers["x-modelport-revision"] == f"secrets.{first}"

    described = secrets.patch(f"{path}/key", json={"description": None})
    assert result_of(described)["description"] is None
    assert described.headers["x-modelport-revision"] == f"secrets.{first}", "the value's version stays"
    rotated = secrets.patch(f"{path}/key", json={"value": "another"})
    second = int(rotated.headers["x-modelport-revision"].removeprefix("secrets."))
    assert second > first
    assert result_of(rotated)["updated_at"] > made["updated_at"]
    assert result_of(reveal(services, workspace, "key"))["value"] == "another"
    assert markers(services, workspace) == {"key": second}

    removed = secrets.delete(f"{path}/key")
    result_of(removed, 204)
    assert int(removed.headers["x-modelport-revision"].removeprefix("secrets.")) > second
    assert markers(services, workspace) == {}
    for gone in (
        secrets.get(f"{path}/key"),
        secrets.patch(f"{path}/key", json={"value": "x"}),
        secrets.delete(f"{path}/key"),
    ):
        assert f"{workspace}/key" in error_of(gone, 404, "not_found")
    error_of(reveal(services, workspace, "key"), 404)


def test_the_value_has_two_names(services: Services, secrets: httpx.Client, workspace: str) -> None:
    result_of(secrets.post(path_of(workspace), json={"name": "key", "data": "one"}), 201)
    assert result_of(reveal(services, workspace, "key"))["value"] == "one"
    result_of(secrets.patch(f"{path_of(workspace)}/key", json={"data": "two"}))
    assert result_of(reveal(services, workspace, "key"))["value"] == "two"


@pytest.mark.parametrize("value", ["  padded\n", "a\0b", "***", "😀" * 100, "x" * 32 * 1024, '"quoted"\\'])
def test_values_are_kept_as_they_are(services: Services, secrets: httpx.Client, workspace: str, value: str) -> None:
    result_of(secrets.post(path_of(workspace), json={"name": "key", "value": value}), 201)
    assert result_of(reveal(services, workspace, "key"))["value"] == value


def test_duplicates(services: Services, secrets: httpx.Client, workspace: str) -> None:
    body = {"name": "key", "value": "one"}
    result_of(secrets.post(path_of(workspace), json=body), 201)
    reply = secrets.post(path_of(workspace), json=body | {"value": VALUE})
    assert f"{workspace}/key" in error_of(reply, 409, "conflict")
    assert "hunter2" not in reply.text
    assert result_of(reveal(services, workspace, "key"))["value"] == "one"
    other = make_workspace(services.client("models"))
    result_of(secrets.post(path_of(other), json=body), 201)


@pytest.mark.parametrize(
    ("raw", "member"),
    [
        (b'{"name":"key"}', "value"),
        (b'{"name":"key","value":""}', "value"),
        (b'{"name":"key","value":null}', "value"),
        (b'{"name":"key","value":["sk-hunter2"]}', "value"),
        (b'{"name":"key","value":{"sk-hunter2":"sk-hunter2"}}', "value"),
        (b'{"name":"key","data":12345}', "data"),
        (b'{"name":"key","value":"sk-hunter2\\ud800"}', None),
        (b'{"name":"key","value":"' + b"sk-hunter2" * 4000 + b'"}', "value"),
        (b'{"name":"Bad Name","value":"sk-hunter2"}', "name"),
        (b'{"name":"key","value":"sk-hunter2","description":5}', "description"),
        (b'{"name":"key","value":"sk-hunter2","description":"nul \\u0000"}', None),
        (b'{"value":"sk-hunter2"}', "name"),
        (b'{"name":"key","value":"sk-hunter2"', None),
        (b'{"name":"key","value":"sk-hunter2",}', None),
        (b'["sk-hunter2"]', None),
        (b'"sk-hunter2"', None),
    ],
)
def test_errors_never_quote_a_value(services: Services, workspace: str, raw: bytes, member: str | None) -> None:
    secrets = services.client("secrets")
    raw = raw.replace(b"sk-hunter2", CANARY.encode())  # random, so that it cannot stand in the name of a test
    reply = secrets.post(path_of(workspace), content=raw, headers={"content-type": "application/json"})
    error_of(reply, 422, "invalid_input")
    assert "hunter2" not in reply.text
    if member is not None:
        assert reply.json()["detail"][0]["loc"] == ["body", member]
    assert result_of(secrets.get(path_of(workspace)))["data"] == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"value": ""}, "empty"),
        ({"value": "***"}, "mask"),
        ({"data": "••••"}, "mask"),
        ({}, "nothing to change"),
        ({"value": None}, "nothing to change"),
        ({"data": None}, "nothing to change"),
        ({"unknown": 1}, "nothing to change"),
        ({"value": 5}, "string"),
    ],
)
def test_changes_that_cannot_be(services: Services, workspace: str, body: dict[str, Any], words: str) -> None:
    secrets = services.client("secrets")
    result_of(secrets.post(path_of(workspace), json={"name": "key", "value": VALUE}), 201)
    assert words in error_of(secrets.patch(f"{path_of(workspace)}/key", json=body), 422, "invalid_input")
    assert result_of(reveal(services, workspace, "key"))["value"] == VALUE


def test_unreadable_and_large_bodies(secrets: httpx.Client) -> None:
    headers = {"content-type": "application/json"}
    for content, status in (
        (b'{"value":"%b\xff"}' % CANARY.encode(), 400),
        (b'{"value":"' + CANARY.encode() * 20_000 + b'"}', 413),
    ):
        reply = secrets.post(path_of("default"), content=content, headers=headers)
        error_of(reply, status)
        assert "hunter2" not in reply.text


def test_lists(services: Services, secrets: httpx.Client, workspace: str) -> None:
    path = path_of(workspace)
    assert result_of(secrets.get(path))["data"] == []
    for name in ("alpha", "beta", "gamma"):
        result_of(secrets.post(path, json={"name": name, "value": VALUE}), 201)
    listed = result_of(secrets.get(path, params={"page": 2, "page_size": 2, "sort": "name"}))
    assert [one["name"] for one in listed["data"]] == ["gamma"]
    assert "description" not in listed["data"][0], "lists omit what is null"
    assert listed["pagination"]["total_pages"] == 2
    assert result_of(secrets.get(path, params={"page": 9}))["data"] == []
    for params in ({"filter[name]": "beta"}, {"filter": '{"name":"beta"}'}, {"filter": 'name:"beta"'}):
        assert [one["name"] for one in result_of(secrets.get(path, params=params))["data"]] == ["beta"]
    for params in ({"filter[value]": "x"}, {"filter": '{"value":"x"}'}, {"filter": "ciphertext:x"}):
        error_of(secrets.get(path, params=params), 400, "invalid_filter")
    for query in ("page=0", "page_size=0", "page_size=1001", "page=abc", "sort=value"):
        error_of(secrets.get(f"{path}?{query}"), 422)
    everywhere = result_of(secrets.get(path_of("-"), params={"page_size": 1000}))["data"]
    assert {("system", "ngc-api-key"), (workspace, "beta")} <= {(one["workspace"], one["name"]) for one in everywhere}
    assert "hunter2" not in str(everywhere)


def test_an_unknown_workspace_is_not_there(secrets: httpx.Client) -> None:
    body = {"name": "key", "value": VALUE}
    for name in ("nope", "NOPE", "x" * 200, "w%20x"):
        path = path_of(name)
        assert "workspace" in error_of(secrets.get(path), 404, "not_found")
        assert "workspace" in error_of(secrets.post(path, json=body), 404, "not_found")
        error_of(secrets.get(f"{path}/key"), 404, "not_found")
        error_of(secrets.delete(f"{path}/key"), 404, "not_found")
    error_of(secrets.post(path_of("-"), json=body), 404)
    error_of(secrets.get(path_of("%00")), 400, "nul_character")


def test_the_built_in_secret(services: Services, secrets: httpx.Client) -> None:
    path = f"{path_of('system')}/ngc-api-key"
    assert "NGC_API_KEY" in result_of(secrets.get(path))["description"]
    for reply in (
        secrets.patch(path, json={"value": VALUE}),
        secrets.patch(path, json={"description": "x"}),
        secrets.delete(path),
        secrets.post(path_of("system"), json={"name": "ngc-api-key", "value": VALUE}),
    ):
        assert "NGC_API_KEY" in error_of(reply, 403)
        assert "hunter2" not in reply.text
    error_of(reveal(services, "system", "ngc-api-key"), 404, "secret_not_set")


def test_no_log_holds_a_value(services: Services) -> None:
    """Reads what the services printed; the last test of this file, so that every request above is in it."""
    assert "POST" in services.logs()
    for piece in ("hunter2", "sk-", "another", "padded"):
        assert piece not in services.logs()

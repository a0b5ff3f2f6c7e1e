"""The secrets service's part of the audit trail (docs/audit.md)."""

import os
from typing import Any

import httpx

from modelport_contracts.errors import CLIENT_ADDRESS_HEADER
from modelport_testing.canaries import Kind, canary
from modelport_testing.polling import eventually_sync
from modelport_testing.services import Services, error_of, make_workspace, result_of

AUDIT = "/apis/secrets/v2/audit"


def path_of(workspace: str) -> str:
    return f"/apis/secrets/v2/workspaces/{workspace}/secrets"


def trail(services: Services, workspace: str, **query: str) -> list[dict[str, Any]]:
    """The events of a workspace, oldest first."""
    query = {"filter[workspace]": workspace, "sort": "created_at", **query}
    found: list[dict[str, Any]] = result_of(services.client("secrets").get(AUDIT, params=query))["data"]
    return found


def test_the_life_of_a_secret(services: Services, secrets: httpx.Client, workspace: str) -> None:
    """Each step is told once, by whom and from where; no value is."""
    one = f"{path_of(workspace)}/key"
    gateway = services.client("secrets", "gateway")
    came_by_door = {"x-request-id": "r-1", CLIENT_ADDRESS_HEADER: "192.0.2.1"}
    body = {"name": "key", "value": canary(Kind.PROVIDER, "sk-first-"), "description": "ours"}
    result_of(secrets.post(path_of(workspace), json=body, headers=came_by_door), 201)
    result_of(secrets.patch(one, json={"value": canary(Kind.PROVIDER, "sk-second-")}))
    result_of(secrets.patch(one, json={"description": None}))
    result_of(gateway.get(f"{one}/access", headers={"x-request-id": "r-4"}))
    result_of(secrets.delete(one), 204)
    events = trail(services, workspace)
    assert [(event["action"], event["actor"], event["outcome"]) for event in events] == [
        ("create", "front-door", "ok"),
        ("update", "front-door", "ok"),
        ("update", "front-door", "ok"),
        ("reveal", "gateway", "ok"),
        ("delete", "front-door", "ok"),
    ]
    made, changed, described, revealed, removed = events
    assert (made["address"], made["request_id"]) == ("192.0.2.1", "r-1")
    assert (revealed["address"], revealed["request_id"]) == ("127.0.0.1", "r-4")
    assert all((event["kind"], event["name"], event["service"]) == ("secret", "key", "secrets") for event in events)
    first, second = made["after"]["version"], changed["after"]["version"]
    assert second > first
    assert made["after"] == {"description": "ours", "version": first}
    assert (changed["before"], changed["after"]) == ({"version": first}, {"version": second})
    assert (described["before"], described["after"]) == ({"description": "ours"}, {"description": None})
    assert revealed["after"] == {"version": second}
    assert removed["before"] == {"version": second}
    assert "sk-" not in str(events)


def test_refused_reveals_are_told_too(services: Services, secrets: httpx.Client, workspace: str) -> None:
    access = f"{path_of(workspace)}/key/access"
    forged = {CLIENT_ADDRESS_HEADER: "192.0.2.9"}
    error_of(services.client("secrets", "gateway").get(access), 404)
    error_of(secrets.get(access, headers=forged), 403, "not_allowed")
    error_of(services.client("secrets", "models").get(access), 403)
    error_of(services.client("secrets", None).get(access, headers=forged), 401)
    error_of(services.client("secrets", None).get(f"{path_of(workspace)}/{'n' * 200}/access"), 401)
    events = trail(services, workspace)
    assert [(event["outcome"], event.get("actor"), event["address"]) for event in events] == [
        ("not_found", "gateway", "127.0.0.1"),
        ("not_allowed", "front-door", "192.0.2.9"),
        ("not_allowed", "models", "127.0.0.1"),
        ("service_token_missing", None, "127.0.0.1"),
        ("service_token_missing", None, "127.0.0.1"),
    ], "who has no token is not believed"
    assert {event["action"] for event in events} == {"reveal"}


def test_a_workspaces_end_is_told_for_each_of_its_secrets(services: Services, secrets: httpx.Client) -> None:
    workspace = make_workspace(services.client("models"))
    for name in ("one", "two"):
        result_of(secrets.post(path_of(workspace), json={"name": name, "value": canary(Kind.PROVIDER, "sk-x-")}), 201)
    result_of(services.client("models").delete(f"/apis/entities/v2/workspaces/{workspace}"))
    gone = eventually_sync(lambda: trail(services, workspace, **{"filter[action]": "delete"}))
    assert {(event["name"], event["actor"]) for event in gone} == {("one", "secrets"), ("two", "secrets")}


def test_what_failed_is_not_told(services: Services, secrets: httpx.Client, workspace: str) -> None:
    body = {"name": "key", "value": canary(Kind.PROVIDER, "sk-x-")}
    result_of(secrets.post(path_of(workspace), json=body), 201)
    error_of(secrets.post(path_of(workspace), json=body), 409)
    error_of(secrets.delete(f"{path_of(workspace)}/other"), 404)
    assert [event["action"] for event in trail(services, workspace)] == ["create"]


def test_lists(services: Services, secrets: httpx.Client, workspace: str) -> None:
    for name in ("aa", "bb", "cc"):
        result_of(secrets.post(path_of(workspace), json={"name": name, "value": os.urandom(8).hex()}), 201)
    query = {"filter": f'workspace:"{workspace}" AND action:"create"', "page_size": "2"}
    first = result_of(secrets.get(AUDIT, params=query))
    assert [event["name"] for event in first["data"]] == ["cc", "bb"], "newest first"
    assert first["pagination"] == {
        "page": 1, "page_size": 2, "current_page_size": 2, "total_pages": 2, "total_results": 3,
    }  # fmt: skip
    assert first["sort"] == "-created_at"
    assert [event["name"] for event in result_of(secrets.get(AUDIT, params=query | {"page": "2"}))["data"]] == ["aa"]
    since = {"filter[workspace]": workspace, "filter[created_at][$gt]": first["data"][1]["created_at"]}
    assert [event["name"] for event in result_of(secrets.get(AUDIT, params=since))["data"]] == ["cc"]
    by_name = {"filter[workspace]": workspace, "filter[name][$in]": "aa,bb", "sort": "name"}
    assert [event["name"] for event in result_of(secrets.get(AUDIT, params=by_name))["data"]] == ["aa", "bb"]
    error_of(secrets.get(AUDIT, params={"filter[after]": "x"}), 400, "invalid_filter")
    error_of(secrets.get(AUDIT, params={"sort": "before"}), 422)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        error_of(secrets.request(method, AUDIT), 405)

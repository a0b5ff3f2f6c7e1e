"""Lists: pages, sorts, filters, all workspaces at once (docs/wire.md, 3.1)."""

from typing import Any

import httpx
import pytest

from modelport_testing.services import Services, error_of, make_workspace, result_of

WORKSPACES = "/apis/entities/v2/workspaces"
LISTS = [
    "/apis/models/v2/workspaces/{}/providers",
    "/apis/models/v2/workspaces/{}/models",
    "/apis/inference-gateway/v2/workspaces/{}/virtual-models",
]
BODIES: dict[str, dict[str, Any]] = {LISTS[0]: {"host_url": "https://h.example"}, LISTS[1]: {}, LISTS[2]: {}}
NAMES = ["alpha", "beta", "gamma", "delta", "epsilon"]


@pytest.fixture(scope="module", params=LISTS)
def kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture(scope="module")
def path(services: Services, kind: str) -> str:
    """The path of a list of five that no test changes."""
    models = services.client("models")
    path = kind.format(make_workspace(models))
    for name in NAMES:
        result_of(models.post(path, json={"name": name, **BODIES[kind]}), 201)
    return path


def names(reply: httpx.Response) -> list[str]:
    return [item["name"] for item in result_of(reply)["data"]]


def test_pages(models: httpx.Client, path: str) -> None:
    whole = result_of(models.get(path))
    assert [item["name"] for item in whole["data"]] == NAMES[::-1], "newest first"
    assert (whole["sort"], whole["filter"]) == ("-created_at", None)
    assert whole["pagination"] == {
        "page": 1,
        "page_size": 100,
        "current_page_size": 5,
        "total_pages": 1,
        "total_results": 5,
    }
    second = result_of(models.get(path, params={"page": 2, "page_size": 2, "sort": "name"}))
    assert [item["name"] for item in second["data"]] == ["delta", "epsilon"]
    assert second["pagination"] == {
        "page": 2,
        "page_size": 2,
        "current_page_size": 2,
        "total_pages": 3,
        "total_results": 5,
    }
    for page in (4, 10**30):
        beyond = result_of(models.get(path, params={"page": page, "page_size": 2}))
        assert beyond["data"] == []
        assert (beyond["pagination"]["total_results"], beyond["pagination"]["current_page_size"]) == (5, 0)


@pytest.mark.parametrize(
    "query",
    ["page=0", "page=-1", "page=abc", "page=1.5", "page=", "page_size=0", "page_size=1001", "page_size=abc", "sort=foo",
     "sort=-foo", "sort=", "sort=--name", f"sort={'x' * 100}"],
)  # fmt: skip
def test_pages_and_sorts_that_cannot_be(models: httpx.Client, path: str, query: str) -> None:
    for url in (f"{path}?{query}", f"{WORKSPACES}?{query}"):
        reply = models.get(url)
        error_of(reply, 422, "invalid_input")
        assert reply.json()["detail"][0]["loc"] == ["query", query.partition("=")[0]]


def test_sorts(models: httpx.Client, path: str) -> None:
    assert names(models.get(path, params={"sort": "name"})) == sorted(NAMES)
    assert names(models.get(path, params={"sort": "-name"})) == sorted(NAMES, reverse=True)
    assert names(models.get(path, params={"sort": "created_at"})) == NAMES
    assert names(models.get(path, params={"sort": "-updated_at"})) == NAMES[::-1]


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"filter[name]": "beta"}, ["beta"]),
        ({"filter": '{"name":"beta"}'}, ["beta"]),
        ({"filter": 'name:"beta"'}, ["beta"]),
        ({"filter[name][$like]": "ETA"}, ["beta"]),
        ({"filter[name][$in]": "beta,gamma"}, ["beta", "gamma"]),
        ({"filter": '{"$or":[{"name":"beta"},{"name":{"$like":"lph"}}]}'}, ["alpha", "beta"]),
        ({"filter": 'name~"a" AND NOT (name~"eta" OR name:"alpha")'}, ["delta", "gamma"]),
        ({"filter[name][$gte]": "e"}, ["epsilon", "gamma"]),
        ({"filter[created_at][$lt]": "2000-01-01"}, []),
        ({"filter[name]": "_lpha"}, []),
    ],
)
def test_filters(models: httpx.Client, path: str, params: dict[str, str], found: list[str]) -> None:
    reply = models.get(path, params={"sort": "name", **params})
    assert names(reply) == found
    assert reply.json()["pagination"]["total_results"] == len(found)
    assert reply.json()["filter"]


@pytest.mark.parametrize(
    "query",
    [
        "filter[colour]=red",
        'filter={"colour":"red"}',
        'filter=colour:"red"',
        "filter[name][$foo]=x",
        'filter={"name":{"$foo":1}}',
        "filter=name",
        "filter={",
        "filter[name",
        "filter[created_at]=yesterday",
        "filter[created_at][$like]=2026",
        "filter[created_at][$lt]=0001-01-01T00:00:00%2B14:00",
        'filter={"name":NaN}',
        'filter={"name":"\\ud800"}',
        'filter={"name":"\\u0000"}',
        "filter[name]=%00",
        "filter=" + "(" * 100 + "name:x" + ")" * 100,
        "filter[name][$in]=" + ",".join("x" * 300),
    ],
)
def test_filters_that_cannot_be(models: httpx.Client, path: str, query: str) -> None:
    for url in (f"{path}?{query}", f"{WORKSPACES}?{query}"):
        assert error_of(models.get(url), 400)


def test_an_unknown_field_is_told_with_the_known_ones(models: httpx.Client, kind: str) -> None:
    for query in ("filter[colour]=red", 'filter={"colour":1}', "filter=colour:red"):
        message = error_of(models.get(f"{kind.format('default')}?{query}"), 400, "invalid_filter")
        assert "colour" in message
        assert "created_at, " in message


def test_all_workspaces_at_once(models: httpx.Client, kind: str, workspace: str) -> None:
    other = make_workspace(models)
    for place in (workspace, other):
        result_of(models.post(kind.format(place), json={"name": f"in-{place}", **BODIES[kind]}), 201)
    everywhere = names(models.get(kind.format("-"), params={"page_size": 1000, "filter[name][$like]": "in-w-"}))
    assert {f"in-{workspace}", f"in-{other}"} <= set(everywhere)
    assert names(models.get(kind.format(workspace))) == [f"in-{workspace}"]


def test_an_unknown_workspace_is_not_there(models: httpx.Client, kind: str) -> None:
    body = {"name": "thing", **BODIES[kind]}
    change = "PUT" if kind == LISTS[0] else "PATCH"
    for name in ("nope", "NOPE", "a", "no%2Fpe", "w%20x", "x" * 300):
        path = kind.format(name)
        for reply in (
            models.get(path),
            models.get(f"{path}/thing"),
            models.post(path, json=body),
            models.delete(f"{path}/thing"),
            models.request(change, f"{path}/thing", json=body),
        ):
            message = error_of(reply, 404)
            assert "%2F" in name or "workspace" in message


def test_all_workspaces_is_for_lists_only(models: httpx.Client, kind: str) -> None:
    path = kind.format("-")
    error_of(models.post(path, json={"name": "thing", **BODIES[kind]}), 404, "not_found")
    error_of(models.get(f"{path}/thing"), 404, "not_found")
    error_of(models.delete(f"{path}/thing"), 404, "not_found")


def test_what_is_not_there(models: httpx.Client, kind: str, workspace: str) -> None:
    path = f"{kind.format(workspace)}/nothing"
    assert f"{workspace}/nothing" in error_of(models.get(path), 404, "not_found")
    error_of(models.delete(path), 404, "not_found")


def test_duplicates(models: httpx.Client, kind: str, workspace: str) -> None:
    body = {"name": "thing", **BODIES[kind]}
    first = models.post(kind.format(workspace), json=body)
    assert first.headers["x-modelport-revision"].startswith("models.")
    result_of(first, 201)
    verb = "PUT" if kind == LISTS[0] else "PATCH"
    message = error_of(models.post(kind.format(workspace), json=body), 409, "conflict")
    assert message.endswith(f"{workspace}/thing already exists; change it with {verb}, or choose another name")


def test_names_that_cannot_be(models: httpx.Client, kind: str) -> None:
    wrong = ["", "A", "a", "Ab", "1a", "a b", "a--b", "ab-", "a" * 64, "a/b", "ä1", "ab\n", 5, None, ["ab"]]
    for name in wrong:
        reply = models.post(kind.format("default"), json={"name": name, **BODIES[kind]})
        error_of(reply, 422, "invalid_input")
        assert reply.json()["detail"][0]["loc"] == ["body", "name"]


def test_lists_omit_what_is_null_and_objects_keep_it(models: httpx.Client, kind: str, workspace: str) -> None:
    result_of(models.post(kind.format(workspace), json={"name": "thing", **BODIES[kind]}), 201)
    (listed,) = result_of(models.get(kind.format(workspace)))["data"]
    single = result_of(models.get(f"{kind.format(workspace)}/thing"))
    assert None not in listed.values()
    assert single["project"] is None
    assert {name: value for name, value in single.items() if value is not None} == listed

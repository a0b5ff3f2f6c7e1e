"""A workspace that was deleted and made again has none of the former one's secrets, with NATS away throughout.

So nothing here is told of a removal by its event: what users are answered must be right without it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest

from modelport_kit.database.engine import Database
from modelport_testing.canaries import Kind, canary
from modelport_testing.polling import eventually
from modelport_testing.services import Services, error_of, make_workspace, result_of, start_services

SECRET = {"name": "key", "value": canary(Kind.PROVIDER)}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Both services, without NATS; in place of those that other files share."""
    postgres = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    with start_services(tmp_path_factory.mktemp("services"), postgres) as services:
        services.nats.stop()
        yield services


def path_of(workspace: str) -> str:
    return f"/apis/secrets/v2/workspaces/{workspace}/secrets"


def reveal(services: Services, workspace: str) -> httpx.Response:
    return services.client("secrets", "gateway").get(f"{path_of(workspace)}/key/access")


def remove(services: Services, workspace: str) -> None:
    result_of(services.client("models").delete(f"/apis/entities/v2/workspaces/{workspace}"))


def make_again(services: Services, workspace: str) -> None:
    remove(services, workspace)
    result_of(services.client("models").post("/apis/entities/v2/workspaces", json={"name": workspace}), 201)


def markers(services: Services) -> set[str]:
    page = result_of(services.client("secrets", "gateway").get("/internal/v1/snapshot", params={"limit": "5000"}))
    return {record["envelope"]["key"] for record in page["records"]}


def test_it_has_none_of_the_former_ones(services: Services, secrets: httpx.Client, workspace: str) -> None:
    path = path_of(workspace)
    result_of(secrets.post(path, json=SECRET), 201)
    make_again(services, workspace)
    assert result_of(secrets.get(path))["data"] == []
    for reply in (
        secrets.get(f"{path}/key"),
        secrets.patch(f"{path}/key", json={"description": "ours"}),
        secrets.patch(f"{path}/key", json={"value": "ours"}),
        secrets.delete(f"{path}/key"),
        reveal(services, workspace),
    ):
        assert f"{workspace}/key" in error_of(reply, 404)
    provider = {"name": "pp", "host_url": "https://h.example", "api_key_secret_name": "key"}
    named = services.client("models").post(f"/apis/models/v2/workspaces/{workspace}/providers", json=provider)
    error_of(named, 400, "secret_missing")


def test_its_own_secret_takes_the_name(services: Services, secrets: httpx.Client, workspace: str) -> None:
    path = path_of(workspace)
    former = result_of(secrets.post(path, json=SECRET | {"description": "theirs"}), 201)
    result_of(secrets.post(path, json=SECRET | {"name": "other"}), 201)
    make_again(services, workspace)
    made = result_of(secrets.post(path, json={"name": "key", "value": "its own"}), 201)
    assert made["description"] is None
    assert made["created_at"] > former["created_at"]
    assert result_of(secrets.get(path))["data"] == [{k: v for k, v in made.items() if v is not None}]
    assert result_of(reveal(services, workspace))["value"] == "its own"
    assert f"secret/{workspace}/other" not in markers(services), "the former one's others went with it"
    error_of(secrets.post(path, json=SECRET), 409, "conflict")
    assert result_of(reveal(services, workspace))["value"] == "its own"


def test_no_list_shows_the_former_ones(services: Services, secrets: httpx.Client, workspace: str) -> None:
    living = make_workspace(services.client("models"))
    removed = make_workspace(services.client("models"))
    for one in (living, workspace, removed):
        result_of(secrets.post(path_of(one), json=SECRET), 201)
    make_again(services, workspace)
    remove(services, removed)
    listed = result_of(secrets.get(path_of("-"), params={"page_size": 1000}))["data"]
    assert {one["workspace"] for one in listed} & {living, workspace, removed} == {living}
    assert result_of(reveal(services, living))["value"] == SECRET["value"]


@asynccontextmanager
async def storing(services: Services, workspace: str) -> AsyncIterator["asyncio.Task[httpx.Response]"]:
    """Have a secret stored up to where the workspace's id was asked and the row is not committed."""
    database = Database(services["secrets"].environment["MODELPORT_DATABASE_URL"], "secrets")
    try:
        async with database.write() as write:
            await write.take_revision()  # every other writer waits for this transaction's end
            asked = f"/apis/entities/v2/workspaces/{workspace}"
            before = services["models"].log().count(asked)
            client = services.client("secrets")
            task = asyncio.create_task(asyncio.to_thread(client.post, path_of(workspace), json=SECRET))
            await eventually(lambda: services["models"].log().count(asked) > before, 5)
            yield task
    finally:
        await database.close()


@pytest.mark.parametrize("again", [False, True])
async def test_a_workspace_that_goes_while_a_secret_is_stored(services: Services, workspace: str, again: bool) -> None:
    async with storing(services, workspace) as task:
        await asyncio.to_thread(make_again if again else remove, services, workspace)
    assert "workspace" in error_of(await task, 404, "not_found")
    assert f"secret/{workspace}/key" not in markers(services)


async def test_nobody_to_ask_once_the_secret_is_stored(services: Services, workspace: str) -> None:
    async with storing(services, workspace) as task:
        await asyncio.to_thread(services["models"].kill)
    try:
        result_of(await task, 201)
    finally:
        services["models"].start()
    assert f"secret/{workspace}/key" in markers(services)

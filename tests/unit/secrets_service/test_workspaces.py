"""Whose answer counts for how long: what the secrets service asks of the models service about a workspace."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelport_kit.database.engine import Database
from modelport_kit.errors import NotFoundError
from modelport_kit.service_get import ServiceGet
from modelport_secrets.keyring import Keyring
from modelport_secrets.local_key import LocalKey
from modelport_secrets.store import SecretStore
from modelport_secrets.workspaces import SHARED_S, Workspaces
from modelport_testing.polling import eventually
from modelport_testing.scripted_upstream import Answering, RawRequest, ScriptedUpstream


class Models:
    """Knows every workspace, all by one id."""

    def __init__(self) -> None:
        self.id = "w-1"
        self.answers = asyncio.Event()
        self.answers.set()

    async def answer(self, _: RawRequest, answering: Answering) -> None:
        told = b'{"id":"%b"}' % self.id.encode()
        await self.answers.wait()
        await answering.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told))


@pytest.fixture
def models() -> Models:
    return Models()


@pytest.fixture
async def service(models: Models) -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(models.answer) as running:
        yield running


@pytest.fixture
async def workspaces(service: ScriptedUpstream, tmp_path: Path) -> AsyncIterator[Workspaces]:
    """On a database that nothing here reads."""
    database = Database(f"sqlite:///{tmp_path / 'secrets.db'}", "secrets")
    store = SecretStore(
        database, Keyring([LocalKey(bytes(32), "a test")]), lambda: datetime.now(UTC).replace(tzinfo=None)
    )
    async with ServiceGet(service.url, "t") as asking:
        yield Workspaces(asking, store)
    await database.close()


async def test_gateways_find_the_question_begun_and_no_older_one(workspaces: Workspaces, models: Models) -> None:
    models.answers.clear()
    workspaces.expect_reveals("team")
    expected = workspaces.begin_looking("team")
    assert workspaces.begin_looking("team") is expected
    workspaces.expect_reveals("team")  # changed once more: what was asked before does not count
    again = workspaces.begin_looking("team")
    assert again is not expected
    await asyncio.sleep(2 * SHARED_S)
    models.answers.set()
    later = workspaces.begin_looking("team")
    assert later is not again
    assert [await one for one in (expected, again, later)] == ["w-1"] * 3


async def test_the_question_after_storing_is_a_new_one(workspaces: Workspaces, models: Models) -> None:
    models.answers.clear()
    before = workspaces.begin_looking("team")
    checking = asyncio.create_task(workspaces.check_stored("team", "w-1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert workspaces.begin_looking("team") is not before
    models.answers.set()
    await checking


async def test_a_maker_who_leaves_takes_no_answer_along(
    workspaces: Workspaces, models: Models, service: ScriptedUpstream
) -> None:
    models.answers.clear()
    checking = asyncio.create_task(workspaces.check_stored("team", "w-1"))
    await asyncio.sleep(0)
    shared = workspaces.begin_looking("team")
    await eventually(lambda: len(service.requests) == 1, 5)
    checking.cancel()
    await asyncio.gather(checking, return_exceptions=True)
    models.answers.set()
    assert await shared == "w-1"


async def test_an_answer_that_names_another_id(workspaces: Workspaces, models: Models) -> None:
    looking = workspaces.begin_looking("team")
    assert not await workspaces.is_gone("team", "w-1", looking)
    models.id = "w-2"
    assert await workspaces.is_gone("team", "w-1", workspaces.begin_looking("other"))
    with pytest.raises(NotFoundError):
        await workspaces.id_of("no such name")

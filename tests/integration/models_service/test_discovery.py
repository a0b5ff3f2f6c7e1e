"""The discovery loop on a real database: what it begins, and how much at once (docs/propagation.md, rule 26)."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from sqlalchemy import func, select

from modelport_contracts.pages import Pagination
from modelport_contracts.resources.providers import Provider, ProviderCreate, ProviderStatus
from modelport_kit.database.engine import Database
from modelport_kit.lists import PageRequest
from modelport_models.discovery import loop
from modelport_models.discovery.loop import CLAIM_S, FIRST_LANE, Discovery
from modelport_models.store import Stores
from modelport_models.tables import PROVIDER
from modelport_testing.polling import eventually


async def register(stores: Stores, count: int) -> None:
    for number in range(count):
        body = ProviderCreate.model_validate({"name": f"provider-{number}", "host_url": "https://models.example"})
        await stores.providers.create("default", body)


async def providers(stores: Stores) -> list[Provider]:
    listed: tuple[list[Provider], Pagination] = await stores.providers.list("default", PageRequest(page_size=1000))
    return listed[0]


async def listing() -> AsyncIterator[bytes]:
    yield b'{"object":"list","data":[{"id":"gpt-4"}]}'


class Gateway:
    """Holds every probe until it is told to answer; `held` counts the open ones by path."""

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()
        self.most = 0
        self.most_of_one = 0
        self.may_answer = asyncio.Event()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.held[path] += 1
        self.most = max(self.most, self.held.total())
        self.most_of_one = max(self.most_of_one, self.held[path])
        try:
            await self.may_answer.wait()
            return httpx.Response(200, content=listing())
        finally:
            self.held[path] -= 1


@contextlib.asynccontextmanager
async def discovering(
    stores: Stores, answer: Callable[[httpx.Request], object], clock: Callable[[], float]
) -> AsyncIterator[None]:
    transport = httpx.MockTransport(answer)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        task = asyncio.create_task(Discovery(stores.probes, client, 300, clock=clock).run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("count", [20, 100])
async def test_what_is_being_probed_is_not_probed_twice(
    open_stores: Callable[[], tuple[Stores, Database]], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Not even when its claim has run out; and no more are claimed than there is room for."""
    monkeypatch.setattr(loop, "FIRST_TIMEOUT_S", 30.0)
    stores, database = open_stores()
    await register(stores, count)
    gateway, began = Gateway(), time.time()
    room = min(count + 1, FIRST_LANE)  # the built-in provider is one more

    gained: float | None = None

    def clock() -> float:
        """A hundred times as fast, until the claims have run out: else those READY would soon be due again."""
        return time.time() + (99 * (time.time() - began) if gained is None else gained)

    async with discovering(stores, gateway, clock):
        await eventually(lambda: gateway.held.total() == room)
        held_at = clock()
        await eventually(lambda: clock() > held_at + 2 * CLAIM_S)
        async with database.read() as connection:
            claimed = select(func.count()).select_from(PROVIDER).where(PROVIDER.c.probe_claimed_until > 0)
            assert (await connection.execute(claimed)).scalar_one() == room
        gained = 99 * (time.time() - began)
        gateway.may_answer.set()

        async def all_ready() -> bool:
            return all(one.status is ProviderStatus.READY for one in await providers(stores))

        await eventually(all_ready, 60)
    assert (gateway.most, gateway.most_of_one) == (room, 1)


async def test_another_process_soon_probes_what_a_killed_one_had_claimed(
    open_stores: Callable[[], tuple[Stores, Database]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "FIRST_TIMEOUT_S", 60.0)
    (stores, _), (others, database) = open_stores(), open_stores()
    await register(stores, 3)
    slow, other = Gateway(), Gateway()
    async with discovering(stores, slow, time.time):
        await eventually(lambda: slow.held.total() == 4)
        async with discovering(others, other, time.time):
            began = time.monotonic()
            await eventually(lambda: time.monotonic() > began + 1.5 * CLAIM_S, 60)
            assert other.held.total() == 0, "the claims of a living process are renewed"
    async with database.write() as write:
        left = select(func.max(PROVIDER.c.probe_claimed_until))
        assert (await write.execute(left)).scalar_one() < time.time() + CLAIM_S + 1
    other.may_answer.set()
    async with discovering(others, other, time.time):

        async def all_ready() -> bool:
            return all(one.status is ProviderStatus.READY for one in await providers(stores))

        await eventually(all_ready, 4 * CLAIM_S)


async def test_a_full_second_lane_does_not_hold_up_the_first(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """What misses the first lane while enough wait for the second has failed: it is tried again later."""
    monkeypatch.setattr(loop, "FIRST_TIMEOUT_S", 0.3)
    monkeypatch.setattr(loop, "SECOND_LANE", 0)
    monkeypatch.setattr(loop, "SECOND_QUEUE", 2)
    await register(stores, 6)
    gateway = Gateway()
    async with discovering(stores, gateway, time.time):
        # two of the seven (the built-in one is of another workspace) wait for the second lane
        await eventually(lambda: failed_at_least(stores, 4), 10)
    assert {one.status_message for one in await providers(stores)} <= {
        "",
        "the provider did not answer GET v1/models within 0.3 s",
    }


async def failed_at_least(stores: Stores, count: int) -> bool:
    return Counter(one.status for one in await providers(stores))[ProviderStatus.PENDING] >= count


async def test_different_ids_of_two_providers_are_different_models(stores: Stores) -> None:
    """Also where both are listed for the first time at the same moment (docs/wire.md, 2)."""
    await register(stores, 3)
    served = {"provider-0": "gpt-4.1", "provider-1": "gpt-4-1", "provider-2": "gpt-4.1"}

    async def answer(request: httpx.Request) -> httpx.Response:
        model_id = served.get(request.url.path.split("/")[7], "other")

        async def body() -> AsyncIterator[bytes]:
            yield b'{"object":"list","data":[{"id":"%s"}]}' % model_id.encode()

        return httpx.Response(200, content=body())

    async with discovering(stores, answer, time.time):

        async def all_serve() -> bool:
            return all(one.served_models for one in await providers(stores))

        await eventually(all_serve, 10)
        entities = {one.name: one.served_models[0].model_entity_id for one in await providers(stores)}
    assert entities["provider-0"] == entities["provider-2"] != entities["provider-1"]

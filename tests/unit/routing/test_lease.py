"""The lease of one process (docs/propagation.md, rule 21)."""

import asyncio

import pytest

from modelport_routing.lease import LEASE_S, PATIENCE_S, Lease
from modelport_testing.polling import eventually


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


async def test_it_holds_from_when_the_fence_was_sent(clock: HandClock) -> None:
    lease = Lease(clock)
    assert not lease.holds()
    lease.grant(100.0)
    clock.now = 100.0 + LEASE_S
    assert lease.holds()
    clock.now += 0.001
    assert not lease.holds()


async def test_all_who_wait_share_one_fence(clock: HandClock) -> None:
    lease, asked = Lease(clock), []
    lease.asks(lambda: asked.append(clock.now))
    waiting = [asyncio.ensure_future(lease.renew()) for _ in range(20)]
    await eventually(lambda: asked)
    lease.grant(clock.now)
    assert await asyncio.gather(*waiting) == [True] * 20
    assert len(asked) == 1
    assert not lease.is_away


async def test_a_fence_from_before_a_pause_is_no_news(clock: HandClock) -> None:
    lease, asked = Lease(clock), []
    lease.asks(lambda: asked.append(clock.now))
    waiting = asyncio.ensure_future(lease.renew())
    await eventually(lambda: asked)
    lease.grant(clock.now - LEASE_S - 0.1)
    assert not lease.holds()
    assert not waiting.done()
    lease.grant(clock.now)
    assert await waiting


async def test_without_an_answer_it_is_away_and_serves_at_once() -> None:
    lease = Lease()
    loop = asyncio.get_running_loop()
    assert not lease.goes_without()
    began = loop.time()
    assert not await lease.renew()
    assert loop.time() - began >= PATIENCE_S
    assert lease.is_away
    began = loop.time()
    assert [await lease.renew() for _ in range(10)] == [False] * 10
    assert loop.time() - began < PATIENCE_S
    assert lease.goes_without()
    assert lease.served_away == 1
    lease.grant(loop.time())
    assert await lease.renew()
    assert not lease.goes_without()

"""Places at a provider: never more inside than allowed, in order of arrival, each freed once."""

import asyncio
import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from modelport_gateway.admit.concurrency import Gate, Waiter, enter
from modelport_gateway.errors import ProviderBusyError


class GateMachine(RuleBasedStateMachine):
    """Holds a gate against the plainest model of one: a number inside, and a list of those who wait."""

    waiters = Bundle("waiters")

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate(2)
        self.inside = 0
        self.queue: list[int] = []
        self.woken: list[int] = []
        self.expected: list[int] = []
        self.handles: dict[int, Waiter] = {}
        self.given_up: set[int] = set()
        self.next = 0

    def model_lets_in(self) -> None:
        while self.queue and self.inside < self.gate.limit:
            self.expected.append(self.queue.pop(0))
            self.inside += 1

    @rule()
    def try_to_enter(self) -> None:
        may = self.inside < self.gate.limit and not self.queue
        assert self.gate.try_enter() == may
        self.inside += may

    @rule(target=waiters)
    def queue_up(self) -> int:
        self.next += 1
        number = self.next
        self.queue.append(number)
        self.handles[number] = self.gate.queue_up(lambda: self.woken.append(number))
        self.model_lets_in()
        return number

    @rule(number=consumes(waiters))
    def give_up(self, number: int) -> None:
        """The client leaves: before it was let in, or in the very moment."""
        if number in self.queue:
            self.queue.remove(number)
        else:
            self.inside -= 1
        self.gate.give_up(self.handles[number])
        self.model_lets_in()

    @rule(number=consumes(waiters))
    def leave(self, number: int) -> None:
        """A request ends that was let in from the queue; one that still waits cannot."""
        if number in self.queue:
            self.give_up(number)
            return
        self.inside -= 1
        self.gate.leave()
        self.model_lets_in()

    @rule(limit=st.sampled_from([1, 2, 3, 10, math.inf]))
    def resize(self, limit: float) -> None:
        self.gate.resize(limit)
        self.model_lets_in()

    @invariant()
    def agree(self) -> None:
        assert (self.gate.inside, self.gate.waiting) == (self.inside, len(self.queue))
        assert self.woken == self.expected
        assert self.inside >= 0
        assert not (self.queue and self.inside < self.gate.limit)


TestGate = GateMachine.TestCase
TestGate.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


async def test_those_who_wait_come_in_as_they_came() -> None:
    gate = Gate(1)
    order: list[int] = []

    async def visit(number: int) -> None:
        await enter(gate, "ws/p", 5)
        order.append(number)
        await asyncio.sleep(0)
        gate.leave()

    await asyncio.gather(*(visit(number) for number in range(20)))
    assert order == list(range(20))
    assert (gate.inside, gate.waiting) == (0, 0)


@pytest.mark.parametrize("max_queue_s", [0, 0.01])
async def test_the_wait_is_bounded_and_says_why(max_queue_s: float) -> None:
    gate = Gate(3)
    for _ in range(3):
        await enter(gate, "ws/p", 5)
    with pytest.raises(ProviderBusyError) as caught:
        await enter(gate, "ws/p", max_queue_s)
    for part in ("provider ws/p", "3 requests", "options.max_concurrency", "options.max_queue_s", f"{max_queue_s:g} s"):
        assert part in caught.value.message
    assert (caught.value.status, caught.value.error_code, caught.value.retry_after_s) == (503, "provider_busy", 1)
    assert (gate.inside, gate.waiting) == (3, 0)


async def test_a_client_that_leaves_frees_its_place() -> None:
    gate = Gate(1)
    await enter(gate, "ws/p", 5)
    first, second = (asyncio.ensure_future(enter(gate, "ws/p", 5)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert gate.waiting == 1
    gate.leave()
    await second
    assert (gate.inside, gate.waiting) == (1, 0)


async def test_a_client_that_leaves_as_it_is_let_in_frees_its_place() -> None:
    gate = Gate(1)
    await enter(gate, "ws/p", 5)
    first, second = (asyncio.ensure_future(enter(gate, "ws/p", 5)) for _ in range(2))
    await asyncio.sleep(0)
    gate.leave()  # lets the first in, whose task has not run yet
    first.cancel()
    assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], asyncio.CancelledError)
    await second
    assert (gate.inside, gate.waiting) == (1, 0)

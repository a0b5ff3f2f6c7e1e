"""Names to addresses: shared, remembered for a moment, and slow only for those who ask for the slow name."""

import asyncio
import socket
import threading

import pytest

from modelport_gateway.errors import ConnectTimeoutError
from modelport_gateway.prepare.url import parse_host_url
from modelport_gateway.send.connection import UpstreamConnection
from modelport_gateway.send.cork import Cork
from modelport_gateway.send.egress import Egress
from modelport_gateway.send.pool import Pool
from modelport_gateway.send.resolver import Address, Resolver, in_turns
from modelport_testing.gateway_harness import LOOPBACK
from modelport_testing.scripted_upstream import ScriptedUpstream


def four(address: str, port: int = 80) -> Address:
    return socket.AF_INET, (address, port)


def six(address: str, port: int = 80) -> Address:
    return socket.AF_INET6, (address, port, 0, 0)


class System:
    """Stands for the system's resolver: names that are `dead` get no answer until released."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.released = threading.Event()
        self.fails = False

    def look_up(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        if host.startswith("dead"):
            self.released.wait(20)
        if self.fails:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [four("127.0.0.1", port)]


async def test_an_answer_is_shared_and_believed_for_a_moment() -> None:
    now = 1000.0
    system = System()
    resolver = Resolver(system.look_up, found_s=5, failed_s=1, clock=lambda: now)
    found = await asyncio.gather(*(resolver.resolve("a", 80) for _ in range(20)))
    assert found == [[four("127.0.0.1")]] * 20
    assert await resolver.resolve("a", 80) == [four("127.0.0.1")]
    assert system.asked == ["a"]
    now += 6
    system.fails = True
    for _ in range(3):
        with pytest.raises(socket.gaierror):
            await resolver.resolve("a", 80)
    assert system.asked == ["a", "a"]
    now += 2
    system.fails = False
    assert await resolver.resolve("a", 80) == [four("127.0.0.1")]


async def test_names_that_nobody_answers_for_delay_no_other() -> None:
    system = System()
    resolver = Resolver(system.look_up)
    dead = [asyncio.ensure_future(resolver.resolve(f"dead-{number}", 80)) for number in range(30)]
    again = asyncio.ensure_future(resolver.resolve("dead-0", 80))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert await resolver.resolve("alive", 80) == [four("127.0.0.1")]
    dead[0].cancel()
    system.released.set()
    assert await again == [four("127.0.0.1")], "one who gives up takes no answer from the others"
    await asyncio.gather(*dead[1:])
    assert sorted(system.asked) == sorted([*(f"dead-{number}" for number in range(30)), "alive"])


def test_the_families_take_turns() -> None:
    found = [six("::1"), six("::2"), six("::3"), four("1.1.1.1"), four("2.2.2.2")]
    assert in_turns(found, 4) == [six("::1"), four("1.1.1.1"), six("::2"), four("2.2.2.2")]
    assert in_turns(found, 9)[-1] == six("::3")
    assert in_turns([], 4) == []


async def test_an_address_that_swallows_packets_leaves_time_for_the_next() -> None:
    # A listening socket whose queue is full answers nothing.
    with socket.socket() as full:
        full.bind(("127.0.0.2", 0))
        full.listen(0)
        hole = full.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(hole)
        async with ScriptedUpstream() as upstream:
            addresses = [four(*hole), four("127.0.0.1", upstream.port)]
            egress = Egress([], LOOPBACK, resolver=Resolver(lambda host, port: addresses))
            origin = parse_host_url("http://provider.test").origin
            pool = Pool(egress, lambda: 0.0, Cork(()))
            connection = await pool.connect(origin, 2.0)
            assert isinstance(connection, UpstreamConnection)
            pool.close()
            addresses.pop()
            only_a_hole = Egress([], LOOPBACK, resolver=Resolver(lambda host, port: addresses))
            with pytest.raises(ConnectTimeoutError, match=r"within 0\.3 s"):
                await Pool(only_a_hole, lambda: 0.0, Cork(())).connect(origin, 0.3)
        for filler in fillers:
            filler.close()

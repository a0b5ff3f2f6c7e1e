"""The egress guard at work: what is judged is what is connected to, and never the gateway itself."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from modelport_contracts.egress import EgressAllow
from modelport_gateway.errors import EgressRefusedError
from modelport_gateway.prepare.url import parse_host_url
from modelport_gateway.send.egress import Egress
from modelport_gateway.send.resolver import Address, Resolver
from modelport_gateway.send.tls import ClientTls
from modelport_testing.gateway_harness import LOOPBACK

NOTHING = EgressAllow()
TLS = ClientTls(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
"""Not used here; the default would read the system's CAs each time."""
EVERYTHING = EgressAllow.parse(["0.0.0.0/0", "::/0"])


class Calls:
    """A server of this machine's, on every address, that notes to which of them it was called."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.server: asyncio.Server
        self.port = 0

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._note, "0.0.0.0", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _note(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.called.append(writer.get_extra_info("sockname")[0])
        writer.close()


@pytest.fixture
async def calls() -> AsyncIterator[Calls]:
    calls = Calls()
    await calls.start()
    async with calls.server:
        yield calls


def answering(*answers: str | Sequence[str], now: Callable[[], float] = lambda: 0.0) -> Resolver:
    """A resolver whose names have the first answer, then the second ... and the last for ever."""
    left = [[answer] if isinstance(answer, str) else list(answer) for answer in answers]

    def look_up(_: str, port: int) -> list[Address]:
        found = left.pop(0) if len(left) > 1 else left[0]
        return [
            (socket.AF_INET6, (address, port, 0, 0)) if ":" in address else (socket.AF_INET, (address, port))
            for address in found
        ]

    return Resolver(look_up, clock=now)


def guard(allow: EgressAllow, *own: tuple[str, int], resolver: Resolver | None = None) -> Egress:
    return Egress(own, allow, tls=TLS, resolver=resolver)


async def peer_of(egress: Egress, url: str) -> str:
    """Connect and return the address that this led to."""
    async with asyncio.timeout(5):
        protocol = await egress.connect(parse_host_url(url).origin, Peer, 3.0)
        return await protocol.peer


class Peer(asyncio.Protocol):
    """Notes whom it is connected to, and hangs up."""

    def __init__(self, _: object) -> None:
        self.peer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.peer.set_result(transport.get_extra_info("peername")[0])
        transport.close()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "[::1]", "localhost", "LOCALHOST", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0x7f000001",
        "0", "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]",
        "[::127.0.0.1]", "[2002:7f00:1::]", "user@127.0.0.1", "169.254.169.254", "[fe80::1%25lo]", "[fe80::1%lo]",
        "[::1%25lo]",
    ],
)  # fmt: skip
async def test_what_is_not_public_is_refused_however_it_is_written(calls: Calls, host: str) -> None:
    """Most of these are refused when a provider is registered; older records may have them."""
    with pytest.raises(EgressRefusedError, match="MODELPORT_EGRESS_ALLOW") as caught:
        await peer_of(guard(NOTHING), f"http://{host}:{calls.port}")
    assert "must not be called: " in caught.value.message
    assert calls.called == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]"])
async def test_what_is_allowed_is_called(calls: Calls, host: str) -> None:
    assert (await peer_of(guard(LOOPBACK), f"http://{host}:{calls.port}")).endswith("127.0.0.1")


async def test_the_address_that_was_judged_is_the_one_that_is_called(calls: Calls) -> None:
    """Rebinding: a name whose second answer leads inside gets no second answer between judgement and connection."""
    now = 0.0
    only_two = EgressAllow.parse(["127.0.0.2"])
    egress = guard(only_two, resolver=answering("127.0.0.2", "127.0.0.1", now=lambda: now))
    url = f"http://rebinding.test:{calls.port}"
    assert await peer_of(egress, url) == "127.0.0.2"
    now += 60
    with pytest.raises(EgressRefusedError, match=r"127\.0\.0\.1 is a loopback .* add 127\.0\.0\.1 or rebinding\.test"):
        await peer_of(egress, url)
    assert set(calls.called) <= {"127.0.0.2"}


@pytest.mark.parametrize("order", [["127.0.0.1", "127.0.0.2"], ["169.254.169.254", "127.0.0.2"], ["127.0.0.2", "::1"]])
async def test_of_several_addresses_only_those_that_may_be_are_called(calls: Calls, order: list[str]) -> None:
    egress = guard(EgressAllow.parse(["127.0.0.2"]), resolver=answering(order))
    assert await peer_of(egress, f"http://both.test:{calls.port}") == "127.0.0.2"


async def test_an_allowed_name_is_called_wherever_it_is(calls: Calls) -> None:
    egress = guard(EgressAllow.parse(["ollama.test"]), resolver=answering("127.0.0.1"))
    assert await peer_of(egress, f"http://Ollama.test:{calls.port}") == "127.0.0.1"
    with pytest.raises(EgressRefusedError):
        await peer_of(egress, f"http://other.test:{calls.port}")


async def test_where_the_unspecified_address_leads_is_judged_too(calls: Calls) -> None:
    egress = guard(EgressAllow.parse(["0.0.0.0"]))
    with pytest.raises(EgressRefusedError, match=r"127\.0\.0\.1 is a loopback address"):
        await peer_of(egress, f"http://0.0.0.0:{calls.port}")


def outward_address() -> str:
    """This machine's address towards others; 127.0.0.5 where it has none. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.5"
        return str(probe.getsockname()[0])


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0", "::"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "own.name.test", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"])
async def test_the_gateway_does_not_call_itself_whatever_is_allowed(calls: Calls, bound: str, host: str) -> None:
    for allow in (EVERYTHING, EgressAllow.parse([host]) if host[0] != "[" else LOOPBACK):
        egress = guard(allow, (bound, calls.port), resolver=answering("127.0.0.1"))
        with pytest.raises(EgressRefusedError, match="this gateway itself"):
            await peer_of(egress, f"http://{host}:{calls.port}")


async def test_nor_by_its_name_among_others(calls: Calls) -> None:
    name = socket.gethostname()
    egress = guard(EgressAllow.parse([name]), ("0.0.0.0", calls.port), resolver=answering(outward_address()))
    with pytest.raises(EgressRefusedError, match="this gateway itself"):
        await peer_of(egress, f"http://{name}:{calls.port}")

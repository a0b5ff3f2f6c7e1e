"""The client for what is asked between services while somebody waits."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import structlog

from modelport_contracts.errors import SERVICE_TOKEN_HEADER
from modelport_kit import service_get
from modelport_kit.service_get import NoAnswerError, ServiceGet
from modelport_testing.polling import eventually
from modelport_testing.scripted_upstream import Answering, RawRequest, ScriptedUpstream

OK = b"HTTP/1.1 200 OK\r\nX-One: a\r\nContent-Length: 2\r\n\r\n{}"


class Service:
    """Answers what a test says."""

    def __init__(self) -> None:
        self.says: list[bytes] = [OK]
        self.then_closes = False
        self.holds = asyncio.Event()
        self.holds.set()

    async def answer(self, _: RawRequest, answering: Answering) -> None:
        await self.holds.wait()
        for piece in self.says:
            await answering.send(piece)
            await asyncio.sleep(0.005)
        if self.then_closes:
            answering.close()


@pytest.fixture
def says() -> Service:
    return Service()


@pytest.fixture
async def service(says: Service) -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(says.answer) as running:
        yield running


@pytest.fixture
async def asking(service: ScriptedUpstream) -> AsyncIterator[ServiceGet]:
    async with ServiceGet(f"{service.url}/base/", "token-1") as asking:
        yield asking


def connections(service: ScriptedUpstream) -> int:
    return len({request.connection for request in service.requests})


async def test_a_question_carries_token_and_request_id_on_one_connection(
    service: ScriptedUpstream, asking: ServiceGet
) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        reply = await asking.get("/a?b=c")
    assert (reply.status, reply.header("x-ONE"), reply.header("x-two"), reply.json()) == (200, "a", None, {})
    assert service.last.target == b"/base/a?b=c"
    assert service.last.values(SERVICE_TOKEN_HEADER) == [b"token-1"]
    assert service.last.values("host") == [f"127.0.0.1:{service.port}".encode()]
    assert service.last.values("x-request-id") == [b"r-1"]
    await asking.get("/again")
    assert service.last.values("x-request-id") == []
    assert connections(service) == 1


@pytest.mark.parametrize(
    "says_so",
    [
        [OK[:20], OK[20:70], OK[70:]],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n", b"1\r\n}\r\n0\r\n\r\n"],
        [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OK],
    ],
)
async def test_answers_come_in_any_pieces(says: Service, asking: ServiceGet, says_so: list[bytes]) -> None:
    says.says = says_so
    for _ in range(2):
        reply = await asking.get("/a")
        assert (reply.status, reply.body) == (200, b"{}")


async def test_redirects_are_answers(says: Service, asking: ServiceGet, service: ScriptedUpstream) -> None:
    says.says = [b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\nContent-Length: 0\r\n\r\n"]
    assert (await asking.get("/a")).status == 302
    assert len(service.requests) == 1


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nConnection: close\r\n", b"HTTP/1.0 200 OK\r\n"])
async def test_a_connection_that_ends_is_not_used_again(
    says: Service, asking: ServiceGet, service: ScriptedUpstream, head: bytes
) -> None:
    says.says = [head + b"Content-Length: 2\r\n\r\n{}"]
    for _ in range(2):
        assert (await asking.get("/a")).body == b"{}"
    assert connections(service) == 2


async def test_one_that_was_closed_as_idle_is_not_used_again(
    says: Service, asking: ServiceGet, service: ScriptedUpstream
) -> None:
    says.then_closes = True  # without having said so
    for _ in range(5):
        assert (await asking.get("/a")).body == b"{}"
        await asyncio.sleep(0.05)
    assert connections(service) == 5


async def test_what_comes_unasked_ends_a_connection(
    says: Service, asking: ServiceGet, service: ScriptedUpstream
) -> None:
    says.says = [OK, OK.replace(b"{}", b"[]")]
    for _ in range(3):
        assert (await asking.get("/a")).body == b"{}"
        await asyncio.sleep(0.05)
    says.says = [OK + OK.replace(b"{}", b"[]")]
    for _ in range(3):
        assert (await asking.get("/a")).body == b"{}"
    assert connections(service) == 6


@pytest.mark.parametrize(
    "broken",
    [
        [b"nothing of HTTP\r\n\r\n"],
        [OK[:-1]],
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nx"],
        [b""],
    ],
)
async def test_what_is_no_answer(says: Service, asking: ServiceGet, broken: list[bytes]) -> None:
    says.says, says.then_closes = broken, True
    with pytest.raises(NoAnswerError):
        await asking.get("/a", 5)


async def test_too_much(says: Service, asking: ServiceGet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_get, "MAX_REPLY_BYTES", 1)
    with pytest.raises(NoAnswerError):
        await asking.get("/a", 5)


async def test_nobody_there() -> None:
    async with ServiceGet("http://127.0.0.1:1", "t") as asking:
        with pytest.raises(NoAnswerError, match="ConnectionRefusedError"):
            await asking.get("/a")


async def test_the_answer_to_one_who_left_is_nobody_s(
    says: Service, asking: ServiceGet, service: ScriptedUpstream
) -> None:
    says.holds.clear()
    with pytest.raises(NoAnswerError, match="too long"):
        await asking.get("/slow", 0.05)
    leaving = asyncio.create_task(asking.get("/left"))
    await eventually(lambda: len(service.requests) == 2, 5)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    says.holds.set()
    assert (await asking.get("/next")).status == 200
    assert connections(service) == 3


async def test_many_at_once(asking: ServiceGet) -> None:
    replies = await asyncio.gather(*(asking.get(f"/{number}") for number in range(150)))
    assert {reply.status for reply in replies} == {200}


@pytest.mark.parametrize("path", ["/a b", "/a\r\nx: y", "/é"])
async def test_a_path_is_encoded_before(asking: ServiceGet, path: str) -> None:
    with pytest.raises(ValueError, match="encoded"):
        await asking.get(path)

"""How one probe asks, page after page, and what it makes of the answers."""

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from modelport_contracts.errors import error_body
from modelport_contracts.resources.providers import ProviderStatus
from modelport_models.discovery.probe import MAX_LISTING_BYTES, MAX_PAGES, ProbeTimeoutError, probe
from modelport_models.domain.verdict import Failing, Inconclusive, Listed, NoListing, ProbeState, Refused, Verdict
from modelport_models.store.probes import DueProvider

STATE = ProbeState(ProviderStatus.CREATED, "", 0, None)
PROVIDER = DueProvider("p1", "team", "openai", 1, 7, "key", None, STATE)


async def ask(answer: Callable[[httpx.Request], httpx.Response], timeout_s: float = 5) -> Verdict:
    """Probe over a wire that answers as told, its bodies in pieces as from a socket."""

    def wire(request: httpx.Request) -> httpx.Response:
        reply = answer(request)
        if reply.is_stream_consumed:
            reply = httpx.Response(reply.status_code, headers=reply.headers, stream=Pieces(reply.content))
        return reply

    async with httpx.AsyncClient(transport=httpx.MockTransport(wire), base_url="http://gateway") as client:
        return await probe(client, PROVIDER, timeout_s)


def listing(*ids: Any, **members: Any) -> httpx.Response:
    return httpx.Response(200, json={"object": "list", "data": [{"id": one} for one in ids], **members})


async def test_it_asks_the_providers_route_for_the_revision_it_knows() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return listing("gpt-4", "gpt-5")

    assert await ask(answer) == Listed(("gpt-4", "gpt-5"))
    (request,) = asked
    assert str(request.url) == "http://gateway/apis/inference-gateway/v2/workspaces/team/provider/openai/-/v1/models"
    assert request.headers["x-modelport-min-revision"] == "models.7"


@pytest.mark.parametrize(("as_openai", "parameter"), [(True, "after"), (False, "after_id")])
async def test_pages_are_followed(as_openai: bool, parameter: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        after = request.url.params.get(parameter)
        if after is None:
            page: dict[str, Any] = {"data": [{"id": "a&b"}], "has_more": True, "last_id": "a&b"}
        else:
            assert after == "a&b"
            page = {"data": [{"id": "c"}], "has_more": False, "last_id": "c"}
        return httpx.Response(200, json=page | ({"object": "list"} if as_openai else {}))

    assert await ask(answer) == Listed(("a&b", "c"))


async def test_pages_without_end_are_bounded_and_said() -> None:
    count = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        return listing(f"m{count}", has_more=True, last_id=f"m{count}")

    verdict = await ask(answer)
    assert isinstance(verdict, Listed)
    assert (count, len(verdict.ids)) == (MAX_PAGES, MAX_PAGES)
    assert "goes on" in verdict.note

    def circle(_: httpx.Request) -> httpx.Response:
        return listing("a", has_more=True, last_id="a")

    assert await ask(circle) == Listed(("a", "a"), note=verdict.note)


@pytest.mark.parametrize("last", [None, "", 5, ["a"]])
async def test_a_next_page_without_a_place_is_none(last: object) -> None:
    assert await ask(lambda _: listing("a", has_more=True, last_id=last)) == Listed(("a",))


async def test_entries_of_another_shape_are_left_out() -> None:
    body = {"data": [{"id": "a"}, {"id": 5}, {"name": "b"}, "c", None, {"id": "d"}]}
    assert await ask(lambda _: httpx.Response(200, json=body)) == Listed(("a", "d"))


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"data":{}}', b'{"models":[]}', b"null", b"[" * 100_000, b"\xff"]
)
async def test_another_shape_is_no_listing(body: bytes) -> None:
    assert await ask(lambda _: httpx.Response(200, content=body)) == NoListing()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, Refused), (403, Refused), (404, NoListing), (500, Failing), (503, Failing), (302, Failing)],
)
async def test_the_providers_own_errors(status: int, kind: type[object]) -> None:
    upstream = {"x-modelport-error-origin": "upstream"}
    body = error_body(status, "behind", "says the provider")
    assert isinstance(await ask(lambda _: httpx.Response(status, json=body, headers=upstream)), kind)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(503, "behind", Inconclusive), (424, "secret_missing", Refused), (502, "connect_failed", Failing)],
)
async def test_the_gateways_errors(status: int, code: str, kind: type[object]) -> None:
    body = error_body(status, code, "says the gateway")
    verdict = await ask(lambda _: httpx.Response(status, json=body, headers={"x-modelport-error-origin": "gateway"}))
    assert isinstance(verdict, kind)
    assert getattr(verdict, "reason", None) == "says the gateway"


async def test_a_gateway_error_of_another_shape_is_named_by_its_status() -> None:
    headers = {"x-modelport-error-origin": "gateway"}
    for content in (b"", b"[]", json.dumps({"error": "x"}).encode()):
        verdict = await ask(lambda _, content=content: httpx.Response(502, content=content, headers=headers))  # type: ignore[misc]
        assert verdict == Failing("the gateway answered 502")


async def test_a_gateway_that_cannot_be_reached_says_nothing() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    assert isinstance(await ask(answer), Inconclusive)


async def test_an_answer_that_breaks_off_is_a_failure() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b'{"data":['
        raise httpx.RemoteProtocolError("cut")

    assert isinstance(await ask(lambda _: httpx.Response(200, content=broken())), Failing)

    async def no_gzip() -> AsyncIterator[bytes]:
        yield b"this is no gzip"

    packed = {"content-encoding": "gzip"}
    assert isinstance(await ask(lambda _: httpx.Response(200, content=no_gzip(), headers=packed)), Failing)


async def test_a_packed_listing_is_read_but_not_asked_for() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["accept-encoding"])
        body = gzip.compress(listing("a").content)
        return httpx.Response(200, stream=Pieces(body), headers={"content-encoding": "gzip"})

    assert await ask(answer) == Listed(("a",))
    assert asked == ["identity"]


async def test_a_small_body_that_unpacks_to_gigabytes_does_not() -> None:
    bomb = gzip.compress(b" " * 200_000_000, 9)

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Pieces(bomb), headers={"content-encoding": "gzip"})

    tracemalloc.start()
    try:
        verdict = await ask(answer)
        assert tracemalloc.get_traced_memory()[1] < 10 * MAX_LISTING_BYTES
    finally:
        tracemalloc.stop()
    assert isinstance(verdict, NoListing)
    assert "more than 4 MiB" in verdict.reason


async def test_a_body_without_end_is_no_listing() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536

    assert isinstance(await ask(lambda _: httpx.Response(200, content=endless())), NoListing)


class Pieces(httpx.AsyncByteStream):
    """A body as it comes from a socket, in pieces of 64 KiB."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), 65536):
            yield self._body[start : start + 65536]


async def test_a_provider_that_drips_has_no_more_time_than_others() -> None:
    dripped = 0

    async def drip() -> AsyncIterator[bytes]:
        nonlocal dripped
        while True:
            dripped += 1
            yield b" "
            await asyncio.sleep(0.005)

    with pytest.raises(ProbeTimeoutError):
        await ask(lambda _: httpx.Response(200, content=drip()), timeout_s=0.2)
    assert dripped > 1


async def test_the_clients_own_timeout_counts_as_one() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    with pytest.raises(ProbeTimeoutError):
        await ask(answer)

"""`client.audit`: the parts of both services as one list."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport import ArgumentError, AsyncModelport, Modelport, ServerError
from modelport.flows import Flow, Policy, Send
from modelport.pages import SyncPage
from modelport.resources.audit import list_
from modelport.scope import Scope
from modelport_contracts.pages import Page
from modelport_contracts.resources.audit import AuditEvent
from modelport_testing.scripted import Reply, Script, page

MODELS, SECRETS = "/apis/models/v2/audit", "/apis/secrets/v2/audit"
START = datetime(2026, 1, 1, tzinfo=UTC)


def event(service: str, number: int, second: int) -> dict[str, Any]:
    return {
        "id": number,
        "service": service,
        "created_at": (START + timedelta(seconds=second)).isoformat(),
        "action": "create",
        "kind": "secret",
        "name": "x",
        "outcome": "ok",
    }


class Parts:
    """Both services' answers: lists of events that are cut into pages as they cut them."""

    def __init__(self, lists: dict[str, list[dict[str, Any]]]) -> None:
        self.lists = lists
        self.asked = 0

    def run(self, flow: Flow[Page[AuditEvent]]) -> Page[AuditEvent]:
        try:
            step = next(flow)
            while True:
                assert isinstance(step, Send)
                step = flow.send(self._answer(step.call.path))
        except StopIteration as end:
            result: Page[AuditEvent] = end.value
            return result

    def _answer(self, target: str) -> httpx.Response:
        self.asked += 1
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        number, size = int(query.get("page", "1")), int(query["page_size"])
        whole = self.lists[url.path]
        if query.get("sort") != "created_at":
            whole = whole[::-1]
        data = whole[(number - 1) * size : number * size]
        at = {"page": number, "page_size": size, "current_page_size": len(data), "total_results": len(whole)}
        body = {"data": data, "pagination": at | {"total_pages": -(-len(whole) // size)}}
        return httpx.Response(200, content=json.dumps(body), request=httpx.Request("GET", f"http://x{url.path}"))


def parts_of(models: Sequence[int], secrets: Sequence[int]) -> Parts:
    return Parts(
        {
            MODELS: [event("models", number, second) for number, second in enumerate(sorted(models))],
            SECRETS: [event("secrets", number, second) for number, second in enumerate(sorted(secrets))],
        }
    )


SECONDS = st.lists(st.integers(0, 12), max_size=25)


@given(SECONDS, SECONDS, st.integers(1, 7), st.sampled_from([None, "-created_at", "created_at"]))
def test_pages_together_are_everything_once_and_in_order(
    models: list[int], secrets: list[int], size: int, sort: str | None
) -> None:
    parts = parts_of(models, secrets)
    flow_of = list_(Scope("http://x", "default"), sort=sort, page_size=size)
    policy = Policy("http://x")
    first = SyncPage(parts.run(flow_of(None, policy)), lambda number: parts.run(flow_of(number, policy)))
    pages = list(first.pages())
    found = [one for each in pages for one in each.data]
    times = [one.created_at for one in found]
    assert times == sorted(times, reverse=sort != "created_at")
    assert len({(one.service, one.id) for one in found}) == len(found) == len(models) + len(secrets)
    for service in ("models", "secrets"):
        ids = [one.id for one in found if one.service == service]
        assert ids == sorted(ids, reverse=sort != "created_at")
    assert all(len(each.data) == size for each in pages[:-1])
    assert first.pagination.total_results == len(found)
    assert first.pagination.total_pages == -(-len(found) // size)
    # asked for by its number alone a page is the same
    for number, each in enumerate(pages, start=1):
        anew = list_(Scope("http://x", "default"), sort=sort, page_size=size, page=number)
        assert [one.id for one in parts.run(anew(None, policy)).data] == [one.id for one in each.data]


def test_going_on_reads_each_page_once() -> None:
    parts = parts_of(range(100), range(100))
    flow_of = list_(Scope("http://x", "default"), page_size=10)
    for number in range(1, 21):
        parts.run(flow_of(number, Policy("http://x")))
    assert parts.asked <= 22


def test_what_is_asked(script: Script, client: Modelport) -> None:
    script.on("GET", MODELS, Reply(json=page(event("models", 1, 1))))
    script.on("GET", SECRETS, Reply(json=page(event("secrets", 1, 2))))
    listed = client.audit.list(workspace="team", filter='action:"create"', page_size=5)
    assert [one.service for one in listed] == ["secrets", "models"]
    for asked in script.requests[:2]:
        assert asked.query["filter"] == ['action:"create"']
        assert asked.query["filter[workspace]"] == ["team"]
    script.requests.clear()
    assert [one.id for one in client.audit.list(service="secrets", sort="name", workspace="-")] == [1]
    assert [(one.path, one.query) for one in script.requests] == [(SECRETS, {"sort": ["name"]})]


async def test_asynchronously(script: Script, async_client: AsyncModelport) -> None:
    script.on("GET", MODELS, Reply(json=page(event("models", 1, 3))))
    script.on("GET", SECRETS, Reply(json=page(event("secrets", 1, 2))))
    assert [one.service async for one in async_client.audit.list()] == ["models", "secrets"]
    assert (await async_client.audit.list()).pagination.total_results == 2


def test_half_a_list_is_never_shown_for_the_whole(script: Script) -> None:
    script.on("GET", MODELS, Reply(json=page(event("models", 1, 1))))
    script.on("GET", SECRETS, Reply(503, headers={"x-should-retry": "false"}))
    with Modelport(script.url, max_retries=0) as client, pytest.raises(ServerError):
        client.audit.list()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"service": "gateway"}, "service must be one of models, secrets"),
        ({"sort": "name"}, "sort must be -created_at or created_at"),
        ({"page": 0}, "pages count from 1"),
    ],
)
def test_what_cannot_be_listed(client: Modelport, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        client.audit.list(**given)

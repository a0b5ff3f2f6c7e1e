"""A change reaches every gateway of a platform, with the near cache and, as its oracle, without."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from modelport import Modelport
from modelport_testing.canaries import Kind, canary
from modelport_testing.journeys import GATEWAY, gateway_urls, own_workspace, register, simulated_providers
from modelport_testing.polling import eventually_sync
from modelport_testing.providers import Style
from modelport_testing.stack import LocalStack, local_stack
from modelport_testing.upstreams import Upstream, start_upstream

SECOND_KEY = canary(Kind.PROVIDER, "sk-second-")


@pytest.fixture(scope="module", params=["near cache", "literal reads"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    if request.param == "near cache":
        yield request.getfixturevalue("shared_stack")
        return
    folder = tmp_path_factory.mktemp("literal")
    with local_stack(folder, gateways=2, environment={"MODELPORT_NEAR_CACHE": "off"}) as running:
        yield running


@pytest.fixture
def upstreams() -> Iterator[dict[Style, Upstream]]:
    with simulated_providers() as running:
        yield running


@pytest.fixture
def client(stack: LocalStack, upstreams: dict[Style, Upstream]) -> Iterator[Modelport]:
    with own_workspace(stack.base_url) as workspace, Modelport(stack.base_url, workspace) as made:
        yield made


class Gateways:
    """Every gateway of a stack, asked one by one."""

    def __init__(self, clients: list[httpx.Client], workspace: str) -> None:
        self._clients = clients
        self._workspace = workspace

    def get(self, path: str) -> list[httpx.Response]:
        return [client.get(f"{GATEWAY}/{self._workspace}/{path}") for client in self._clients]

    def chat(self, route: str, model: str) -> list[httpx.Response]:
        body = {"model": model, "messages": [{"role": "user", "content": "Hello!"}]}
        path = f"{GATEWAY}/{self._workspace}/{route}/-/v1/chat/completions"
        return [client.post(path, json=body) for client in self._clients]

    def all_answer(self, status: int, ask: Callable[[], list[httpx.Response]], timeout: float = 5.0) -> None:
        """Wait until all gateways answer with this status. On the way no answer may be a failure of the platform."""

        def there() -> bool:
            replies = ask()
            odd = [one for one in replies if one.status_code >= 500 and one.status_code != status]
            if odd:
                pytest.fail(f"a change in flight led to {odd[0].status_code}: {odd[0].text}")
            return all(one.status_code == status for one in replies)

        eventually_sync(there, timeout)


@pytest.fixture
def gateways(stack: LocalStack, client: Modelport) -> Iterator[Gateways]:
    urls = gateway_urls(stack)
    assert len(urls) == 2
    with ExitStack() as opened:
        yield Gateways([opened.enter_context(httpx.Client(base_url=url)) for url in urls], client.workspace)


def echo(gateways: Gateways) -> Callable[[], list[httpx.Response]]:
    return lambda: gateways.get("provider/openai/-/v1/echo")


def test_created_then_ready_on_every_gateway(
    client: Modelport, gateways: Gateways, upstreams: dict[Style, Upstream]
) -> None:
    assert [one.status_code for one in gateways.get("provider/openai/ready")] == [404, 404]
    assert [one.status_code for one in echo(gateways)()] == [404, 404]
    register(client, upstreams[Style.OPENAI])
    gateways.all_answer(200, lambda: gateways.get("provider/openai/ready"))
    for ask in (
        echo(gateways),
        lambda: gateways.chat("provider/openai", "gpt-4"),
        lambda: gateways.chat("model/gpt-4", "any"),
        lambda: gateways.chat("openai", f"{client.workspace}/gpt-4"),
    ):
        gateways.all_answer(200, ask)


def test_another_host_is_used_by_every_gateway(
    client: Modelport, gateways: Gateways, upstreams: dict[Style, Upstream]
) -> None:
    first = upstreams[Style.OPENAI]
    register(client, first)
    gateways.all_answer(200, echo(gateways))
    with start_upstream(Style.OPENAI, key=first.key) as second:
        client.inference.providers.update("openai", host_url=second.host_url, api_key_secret_name="openai-key")

        def moved() -> bool:
            before = len(second.requests_to("/v1/echo"))
            gateways.all_answer(200, echo(gateways))
            return len(second.requests_to("/v1/echo")) == before + 2

        eventually_sync(moved)
        seen = len(first.requests)
        gateways.all_answer(200, echo(gateways))
        assert len(first.requests) == seen
        client.inference.providers.delete("openai")


def test_a_changed_key_is_used_by_every_gateway(
    client: Modelport, gateways: Gateways, upstreams: dict[Style, Upstream]
) -> None:
    upstream = upstreams[Style.OPENAI]
    register(client, upstream)
    gateways.all_answer(200, echo(gateways))
    upstream.key = SECOND_KEY
    client.secrets.update("openai-key", value=SECOND_KEY)
    gateways.all_answer(200, echo(gateways))
    # And another secret altogether.
    third = upstream.key = canary(Kind.PROVIDER, "sk-third-")
    client.secrets.create(name="other-key", value=third)
    client.inference.providers.update("openai", host_url=upstream.host_url, api_key_secret_name="other-key")
    gateways.all_answer(200, echo(gateways))


def test_a_deleted_secret_is_sent_by_no_gateway(
    client: Modelport, gateways: Gateways, upstreams: dict[Style, Upstream]
) -> None:
    upstream = upstreams[Style.OPENAI]
    register(client, upstream)
    gateways.all_answer(200, echo(gateways))
    client.secrets.delete("openai-key")
    gateways.all_answer(424, echo(gateways), timeout=1.0)
    seen = len(upstream.requests)
    assert {one.status_code for one in gateways.chat("model/gpt-4", "any")} == {424}
    assert len(upstream.requests) == seen


def test_a_deleted_provider_is_gone_on_every_gateway(
    client: Modelport, gateways: Gateways, upstreams: dict[Style, Upstream]
) -> None:
    register(client, upstreams[Style.OPENAI])
    gateways.all_answer(200, echo(gateways))
    client.inference.providers.delete("openai")
    gateways.all_answer(404, echo(gateways))
    gateways.all_answer(404, lambda: gateways.get("provider/openai/ready"))
    gateways.all_answer(404, lambda: gateways.chat("model/gpt-4", "any"))
    assert all(one.json()["data"] == [] for one in gateways.get("openai/-/v1/models"))


def test_a_removed_workspace_takes_everything_with_it(stack: LocalStack, upstreams: dict[Style, Upstream]) -> None:
    with Modelport(stack.base_url) as outside, ExitStack() as opened:
        with own_workspace(stack.base_url) as name:
            with Modelport(stack.base_url, name) as inside:
                register(inside, upstreams[Style.OPENAI])
            urls = gateway_urls(stack)
            gateways = Gateways([opened.enter_context(httpx.Client(base_url=url)) for url in urls], name)
            gateways.all_answer(200, echo(gateways))
        gateways.all_answer(404, echo(gateways))
        gateways.all_answer(404, lambda: gateways.chat("openai", "gpt-4"))
        # The name is free again, and nothing of the old one comes back with it.
        outside.workspaces.create(name=name)
        try:
            eventually_sync(lambda: not outside.secrets.list(workspace=name).data)
            assert outside.inference.providers.list(workspace=name).data == []
            assert [one.status_code for one in echo(gateways)()] == [404, 404]
        finally:
            outside.workspaces.delete(name)

import pytest
from starlette.responses import Response

from modelport import ConnectionFailedError, Modelport, NotFoundError, PermissionDeniedError, WaitTimeoutError
from modelport_contracts.resources.providers import Provider
from modelport_kit.http import set_revision
from modelport_testing.scripted import Reply, Script, provider

PROVIDERS = "/apis/models/v2/workspaces/default/providers"
PROVIDER = f"{PROVIDERS}/openai"
READY = "/apis/inference-gateway/v2/workspaces/default/provider/openai/ready"
IS_READY = Reply(json={"ready": True, "provider": "default/openai", "host_url": "http://x"})


def test_until_the_provider_and_then_the_gateway_is_ready(script: Script, client: Modelport) -> None:
    script.on(
        "GET",
        PROVIDER,
        Reply(json=provider(status="CREATED")),
        Reply(503),
        Reply(json=provider(status="ERROR", status_message="401: check the secret")),
        Reply(json=provider(status="ERROR", status_message="401: check the secret")),
        Reply(json=provider()),
    )
    script.on("GET", READY, Reply(404), Reply(503), IS_READY)
    seen: list[str] = []

    def note(state: Provider) -> None:
        seen.append(f"{state.status} {state.status_message}".strip())

    assert client.models.wait_for_provider("openai", on_change=note) is True
    assert seen == ["CREATED", "ERROR 401: check the secret", "READY"]
    assert len(script.asked("GET", PROVIDER)) == 5
    assert len(script.asked("GET", READY)) == 3


def test_in_vain(script: Script, client: Modelport) -> None:
    script.on("GET", PROVIDER, Reply(json=provider(status="PENDING", status_message="connection refused")))
    with pytest.raises(WaitTimeoutError, match=r"not READY after 0\.2 s, it is PENDING: connection refused") as caught:
        client.models.wait_for_provider("openai", timeout=0.2)
    assert (caught.value.status, caught.value.status_message) == ("PENDING", "connection refused")
    assert isinstance(caught.value, TimeoutError)


def test_a_gateway_in_vain(script: Script, client: Modelport) -> None:
    script.on("GET", PROVIDER, Reply(json=provider()))
    with pytest.raises(WaitTimeoutError, match="gateway cannot route"):
        client.models.wait_for_provider("openai", timeout=0.1)


def test_a_provider_that_does_not_exist_ends_it_at_once(script: Script, client: Modelport) -> None:
    with pytest.raises(NotFoundError):
        client.models.wait_for_provider("openai")
    assert len(script.requests) == 1


def test_other_answers_end_it(script: Script, client: Modelport) -> None:
    script.on("GET", READY, Reply(403))
    with pytest.raises(PermissionDeniedError):
        client.models.wait_for_gateway("openai")


def test_a_platform_that_stays_away() -> None:
    with Modelport("http://127.0.0.1:9") as client, pytest.raises(ConnectionFailedError):
        client.models.wait_for_provider("openai", timeout=0.1)


def test_another_status(script: Script, client: Modelport) -> None:
    script.on("GET", PROVIDER, Reply(json=provider(status="ERROR")))
    assert client.models.wait_for_provider("openai", "ERROR")
    assert len(script.requests) == 1


def test_until_it_is_deleted(script: Script, client: Modelport) -> None:
    script.on("GET", PROVIDER, Reply(json=provider(status="DELETING")), Reply(404))
    assert client.models.wait_for_provider("openai", "DELETED")


def test_without_the_gateway(script: Script, client: Modelport) -> None:
    script.on("GET", PROVIDER, Reply(json=provider()))
    assert client.models.wait_for_provider("openai", check_gateway=False)


def revision_headers(revision: int) -> dict[str, str]:
    """The header of a write as services send it."""
    response = Response()
    set_revision(response, "models", revision)
    return {"x-modelport-revision": response.headers["x-modelport-revision"]}


def test_the_gateway_is_asked_for_what_this_client_wrote(script: Script, client: Modelport) -> None:
    script.on("POST", PROVIDERS, Reply(201, json=provider(), headers=revision_headers(41)))
    script.on("PUT", PROVIDER, Reply(json=provider(), headers=revision_headers(42)))
    script.on("GET", READY, IS_READY)
    client.models.wait_for_gateway("openai")
    client.inference.providers.create(name="openai", host_url="http://x")
    client.models.wait_for_gateway("openai")
    client.inference.providers.update("openai", host_url="http://y")
    client.models.wait_for_gateway("openai")
    client.models.wait_for_gateway("openai", revision="models.50")
    asked = [one.query.get("revision") for one in script.asked("GET", READY)]
    assert asked == [None, ["models.41"], ["models.42"], ["models.50"]]


def test_the_gateway_is_asked_for_what_was_last_seen_and_told_to_wait(script: Script, client: Modelport) -> None:
    script.on("GET", PROVIDER, Reply(json=provider(), headers=revision_headers(43)))
    script.on("GET", READY, IS_READY)
    client.models.wait_for_provider("openai", timeout=30)
    [asked] = script.asked("GET", READY)
    assert asked.query == {"revision": ["models.43"], "wait": ["10"]}


@pytest.mark.parametrize("seconds", [1e20, float("inf")])
def test_a_wait_without_end(script: Script, client: Modelport, seconds: float) -> None:
    script.on("GET", PROVIDER, Reply(json=provider(status="CREATED")), Reply(json=provider()))
    script.on("GET", READY, Reply(404), IS_READY)
    assert client.models.wait_for_provider("openai", timeout=seconds) is True

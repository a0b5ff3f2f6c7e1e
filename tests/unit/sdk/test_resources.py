import json
from typing import Any

import pytest

from modelport import ConflictError, Modelport, NotFoundError
from modelport_contracts.resources.providers import Provider, ProviderStatus
from modelport_testing.scripted import (
    Reply,
    Script,
    error,
    model,
    page,
    provider,
    secret,
    virtual_model,
    workspace,
)

SECRETS = "/apis/secrets/v2/workspaces/default/secrets"
PROVIDERS = "/apis/models/v2/workspaces/default/providers"
MODELS = "/apis/models/v2/workspaces/default/models"
VIRTUAL_MODELS = "/apis/inference-gateway/v2/workspaces/default/virtual-models"
WORKSPACES = "/apis/entities/v2/workspaces"
EXISTS = Reply(409, json=error(409, "exists", "it exists"), headers={"x-should-retry": "false"})


@pytest.mark.parametrize("key", ["value", "data"])
def test_secrets_take_value_and_data(script: Script, client: Modelport, key: str) -> None:
    script.on("POST", SECRETS, Reply(201, json=secret()))
    given: dict[str, Any] = {key: "s3cret"}
    made = client.secrets.create(name="openai-api-key", description="d", **given)
    assert made.name == "openai-api-key"
    assert script.requests[0].json == {"name": "openai-api-key", "value": "s3cret", "description": "d"}
    assert script.requests[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize("given", [{}, {"value": "a", "data": "b"}])
def test_a_secret_has_one_value(script: Script, client: Modelport, given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="value= "):
        client.secrets.create(name="x", **given)  # type: ignore[arg-type]
    assert not script.requests


def test_the_other_secret_calls(script: Script, client: Modelport) -> None:
    one = f"{SECRETS}/openai-api-key"
    script.on("GET", one, Reply(json=secret()))
    script.on("PATCH", one, Reply(json=secret()))
    script.on("DELETE", one, Reply(204))
    script.on("GET", "/apis/secrets/v2/workspaces/-/secrets", Reply(json=page(secret())))
    assert client.secrets.retrieve("openai-api-key").workspace == "default"
    client.secrets.update("openai-api-key", description=None)
    client.secrets.update("openai-api-key", data="new")
    client.secrets.delete("openai-api-key")
    assert [item.name for item in client.secrets.list(workspace="-")] == ["openai-api-key"]
    assert [one.json for one in script.asked("PATCH", one)] == [{"description": None}, {"value": "new"}]


def test_encryption_keys_are_rotated(script: Script, client: Modelport) -> None:
    script.on(
        "POST", "/apis/secrets/v2/rotate-encryption-keys", Reply(202, json={"rotated_secrets": 3, "success": False})
    )
    done = client.secrets.admin.rotate_encryption_keys()
    assert (done.rotated_secrets, done.success) == (3, False)
    assert script.requests[0].body == b""


def test_a_provider_is_created_with_all_its_fields(script: Script, client: Modelport) -> None:
    script.on("POST", "/apis/models/v2/workspaces/team/providers", Reply(201, json=provider()))
    made = client.inference.providers.create(
        name="openai",
        host_url="https://api.openai.com/v1",
        api_key_secret_name="openai-api-key",
        enabled_models=("gpt-4", "gpt-3.5-turbo"),
        auth_header_format="X-Api-Key: {{ auth_secret }}",
        default_extra_headers={"anthropic-version": "2023-06-01"},
        options={"connect_timeout_s": 1},
        workspace="team",
    )
    assert isinstance(made, Provider)
    assert made.status is ProviderStatus.READY
    assert script.requests[0].json == {
        "name": "openai",
        "host_url": "https://api.openai.com/v1",
        "api_key_secret_name": "openai-api-key",
        "enabled_models": ["gpt-4", "gpt-3.5-turbo"],
        "auth_header_format": "X-Api-Key: {{ auth_secret }}",
        "default_extra_headers": {"anthropic-version": "2023-06-01"},
        "options": {"connect_timeout_s": 1},
    }


def test_no_enabled_models_is_not_all_of_them(script: Script, client: Modelport) -> None:
    script.on("POST", PROVIDERS, Reply(201, json=provider()))
    client.inference.providers.create(name="p", host_url="http://x", enabled_models=[])
    assert script.requests[0].json["enabled_models"] == []


def test_the_other_provider_calls(script: Script, client: Modelport) -> None:
    one = f"{PROVIDERS}/openai"
    script.on("GET", one, Reply(json=provider()))
    script.on("PUT", one, Reply(json=provider()))
    script.on("PUT", f"{one}/status", Reply(json=provider(status="ERROR")))
    script.on("DELETE", one, Reply(204))
    script.on("GET", PROVIDERS, Reply(json=page(provider())))
    assert client.inference.providers.retrieve("openai").host_url == "https://api.openai.com/v1"
    client.inference.providers.update("openai", host_url="http://y", description="d")
    served = [{"model_entity_id": "default/gpt-4", "served_model_name": "gpt-4"}]
    updated = client.inference.providers.update_status("openai", status="ERROR", served_models=served)
    assert updated.status == "ERROR"
    client.inference.providers.delete("openai")
    list(client.inference.providers.list(filter={"status": "READY"}, sort="-name", page=2, page_size=10))
    assert script.asked("PUT", one)[0].json == {"host_url": "http://y", "description": "d"}
    assert script.asked("PUT", f"{one}/status")[0].json == {"status": "ERROR", "served_models": served}
    query = script.asked("GET", PROVIDERS)[0].query
    assert json.loads(query.pop("filter")[0]) == {"status": "READY"}
    assert query == {"sort": ["-name"], "page": ["2"], "page_size": ["10"]}


def test_models_and_virtual_models_and_workspaces(script: Script, client: Modelport) -> None:
    script.on("POST", MODELS, Reply(201, json=model()))
    script.on("PATCH", f"{MODELS}/gpt-4", Reply(json=model(backend_format=None)))
    script.on("GET", MODELS, Reply(json=page(model())))
    script.on("POST", VIRTUAL_MODELS, Reply(201, json=virtual_model()))
    script.on("PATCH", f"{VIRTUAL_MODELS}/fast", Reply(json=virtual_model()))
    script.on("GET", VIRTUAL_MODELS, Reply(json=page(virtual_model())))
    script.on("PUT", f"{WORKSPACES}/team", Reply(json=workspace()))
    script.on("DELETE", f"{WORKSPACES}/team", Reply(json={"id": "workspace-1", "message": "deleted"}))

    assert client.models.create(name="gpt-4", spec={"a": 1}).name == "gpt-4"
    assert client.models.update("gpt-4", backend_format=None).backend_format is None
    assert client.models.list(verbose=True).data[0].id == "model-1"
    made = client.inference.virtual_models.create(name="fast", models=[{"model": "default/gpt-4", "weight": 3}])
    assert made.models is not None
    assert made.models[0].model == "default/gpt-4"
    client.inference.virtual_models.patch("fast", models=made.models)
    assert len(client.inference.virtual_models.list(exclude_autoprovisioned=True).data) == 1
    client.workspaces.update("team", description="d")
    assert client.workspaces.delete("team").message == "deleted"

    assert script.asked("PATCH", f"{MODELS}/gpt-4")[0].json == {"backend_format": None}
    assert script.asked("GET", MODELS)[0].query == {"verbose": ["true"]}
    assert script.asked("PATCH", f"{VIRTUAL_MODELS}/fast")[0].json == {"models": [{"model": "default/gpt-4"}]}
    assert script.asked("GET", VIRTUAL_MODELS)[0].query == {"exclude_autoprovisioned": ["true"]}


def test_exist_ok_answers_with_what_is_there(script: Script, client: Modelport) -> None:
    script.on("POST", PROVIDERS, EXISTS)
    script.on("GET", f"{PROVIDERS}/openai", Reply(json=provider(description="old")))
    found = client.inference.providers.create(name="openai", host_url="http://x", exist_ok=True)
    assert found.description == "old"
    assert len(script.requests) == 2


def test_without_exist_ok_a_conflict_is_an_error(script: Script, client: Modelport) -> None:
    script.on("POST", PROVIDERS, EXISTS)
    with pytest.raises(ConflictError):
        client.inference.providers.create(name="openai", host_url="http://x")
    assert len(script.requests) == 1


def test_a_conflict_with_something_else_stays_one(script: Script, client: Modelport) -> None:
    script.on("POST", SECRETS, EXISTS)
    with pytest.raises(ConflictError):
        client.secrets.create(name="gone", value="v", exist_ok=True)


def test_lists_fetch_their_pages(script: Script, client: Modelport) -> None:
    first = page(secret("a1"), secret("a2"), number=1, pages=2, total=3)
    second = page(secret("a3"), number=2, pages=2, total=3)
    script.on("GET", SECRETS, Reply(json=first), Reply(json=second))
    names = client.secrets.list(page_size=2)
    assert [item.name for item in names.data] == ["a1", "a2"]
    assert names.has_next_page
    assert repr(names) == "<SyncPage 1 of 2, 2 items>"
    assert len(script.requests) == 1
    assert [item.name for item in names] == ["a1", "a2", "a3"]
    assert script.requests[1].query == {"page": ["2"], "page_size": ["2"]}
    with pytest.raises(IndexError):
        names.next_page().next_page()


def test_an_empty_list(script: Script, client: Modelport) -> None:
    script.on("GET", SECRETS, Reply(json=page(number=5, pages=2)))
    assert list(client.secrets.list(page=5)) == []
    assert len(script.requests) == 1


def test_what_can_be_called(script: Script, client: Modelport) -> None:
    base = "/apis/inference-gateway/v2/workspaces/default/openai/-/v1/models"
    entry = {"id": "default/gpt-4", "object": "model", "created": 1, "owned_by": "default"}
    script.on("GET", base, Reply(json={"object": "list", "data": [entry]}))
    script.on("GET", f"{base}/default/gpt-4", Reply(json=entry))
    assert client.inference.models.list().data[0].id == "default/gpt-4"
    assert client.inference.models.get("default/gpt-4").owned_by == "default"


def test_names_are_encoded_and_empty_ones_refused(script: Script, client: Modelport) -> None:
    with pytest.raises(NotFoundError):
        client.secrets.retrieve("a/b")
    assert script.requests[0].target == f"{SECRETS}/a%2Fb"
    for name in ("", ".."):
        with pytest.raises(ValueError, match="name"):
            client.secrets.delete(name)
    assert len(script.requests) == 1


def test_platform_calls(script: Script, client: Modelport) -> None:
    status = {"status": "ready", "services": {"ready": ["models"], "not_ready": [{"name": "secrets", "message": "m"}]}}
    script.on("GET", "/status", Reply(json=status))
    script.on("GET", "/cluster-info", Reply(json={"platform_version": "0.1.0", "revision": "abc"}))
    assert client.status().services.not_ready[0].message == "m"
    assert client.cluster_info().platform_version == "0.1.0"


def test_routes_for_openai_clients(script: Script, client: Modelport) -> None:
    script.on("GET", f"{MODELS}/gpt-4", Reply(json=model()))
    entity = client.models.retrieve("gpt-4", workspace="default")
    base = f"{script.url}/apis/inference-gateway/v2/workspaces"
    assert client.models.get_openai_route_base_url() == f"{base}/default/openai/-/v1"
    assert client.models.get_openai_route_base_url(workspace="team") == f"{base}/team/openai/-/v1"
    assert client.models.get_model_entity_route_openai_url(entity) == f"{base}/default/model/gpt-4/-/v1"
    with_v1 = Provider.model_validate(provider(host_url="https://x/v1/"))
    without = Provider.model_validate(provider(host_url="https://x"))
    assert client.models.get_provider_route_openai_url(with_v1) == f"{base}/default/provider/openai/-"
    assert client.models.get_provider_route_openai_url(without) == f"{base}/default/provider/openai/-/v1"


def test_the_openai_client_goes_through_the_gateway(script: Script) -> None:
    completion = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
    }
    path = "/apis/inference-gateway/v2/workspaces/default/openai/-/v1/chat/completions"
    script.on("POST", path, Reply(json=completion))
    with (
        Modelport(script.url, api_key="platform-key") as client,
        client.models.get_openai_client() as openai,
    ):
        answer = openai.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "Hello!"}])
    assert answer.choices[0].message.content == "Hi"
    assert script.requests[0].headers["authorization"] == "Bearer platform-key"


def test_every_public_name_is_there() -> None:
    import modelport

    assert all(getattr(modelport, name) is not None for name in modelport.__all__)
    assert set(modelport.__all__) <= set(dir(modelport))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = modelport.nonsense

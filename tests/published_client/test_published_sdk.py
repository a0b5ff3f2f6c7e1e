"""`from nemo_platform import NeMoPlatform`: every call that belongs to models and inference."""

import pytest

from modelport_testing.providers import Style
from modelport_testing.published_client import PublishedClient
from modelport_testing.upstreams import Upstream

pytestmark = [pytest.mark.published_client, pytest.mark.timeout(180)]

REGISTER = """
client.secrets.create(name="openai-api-key", value=os.environ["OPENAI_API_KEY"])
client.inference.providers.create(
    name="openai",
    host_url=os.environ["OPENAI_HOST"],
    api_key_secret_name="openai-api-key",
    enabled_models=["gpt-4", "gpt-3.5-turbo"],
)
assert client.models.wait_for_provider("openai") is True
"""


def test_the_gateways_three_routes(published: PublishedClient, upstreams: dict[Style, Upstream]) -> None:
    published.script(
        REGISTER
        + """
gateway = client.inference.gateway
def said(reply):
    return reply["choices"][0]["message"]["content"]

# Slashes within the one path parameter come percent-encoded.
assert said(gateway.provider.post("v1/chat/completions", name="openai", body=HELLO)) == "You said: Hello!"
assert said(gateway.model.post("v1/chat/completions", name="gpt-4", body=HELLO)) == "You said: Hello!"
named = {**HELLO, "model": f"{workspace}/gpt-4"}
assert said(gateway.openai.post("v1/chat/completions", body=named)) == "You said: Hello!"
assert gateway.provider.get("v1/echo?a=1&b=x", name="openai")["target"] == "/v1/echo?a=1&b=x"
assert [one["id"] for one in gateway.provider.get("v1/models", name="openai")["data"]][0] == "gpt-4"
assert len(gateway.openai.get("v1/models")["data"]) == 2
assert gateway.openai.v1.models.list().data[0].id.startswith(workspace + "/")
assert gateway.openai.v1.models.get(f"{workspace}/gpt-4").id == f"{workspace}/gpt-4"
assert gateway.openai.v1.models.get("gpt-3-5-turbo").owned_by == workspace
assert gateway.provider.ready("openai")
raises(nemo_platform.NotFoundError, gateway.provider.ready, "nobody")
for method in ("put", "patch"):
    send = getattr(gateway.provider, method)
    refused = raises(nemo_platform.NotFoundError, send, "v1/files/f1", name="openai", body={"a": 1})
    assert refused.response.headers["x-modelport-error-origin"] == "upstream"
raises(nemo_platform.NotFoundError, gateway.provider.delete, "v1/files/f1", name="openai")
"""
    )
    upstream = upstreams[Style.OPENAI]
    assert [request.json()["model"] for request in upstream.requests_to("/v1/chat/completions")] == ["gpt-4"] * 3
    methods = [request.method for request in upstream.requests_to("/v1/files/f1")]
    assert methods == ["PUT", "PATCH", "DELETE"]


def test_streaming(published: PublishedClient, upstreams: dict[Style, Upstream]) -> None:
    upstreams[Style.OPENAI].faults.token_interval_s = 0.05
    published.script(
        REGISTER
        + """
words = "one two three four five six"
body = {"model": "gpt-4", "messages": [{"role": "user", "content": words}], "stream": True}
gateway = client.inference.gateway
for send, options in ((gateway.provider, {"name": "openai"}), (gateway.model, {"name": "gpt-4"}), (gateway.openai, {})):
    with send.with_streaming_response.post("v1/chat/completions", body=body, **options) as reply:
        arrived = [(time.monotonic(), line) for line in reply.iter_lines() if line]
    assert arrived[-1][1] == "data: [DONE]", arrived[-1]
    # As they come, not all at the end.
    assert arrived[-1][0] - arrived[0][0] > 0.2
oai = client.models.get_openai_client()
chunks = list(oai.chat.completions.create(model="gpt-4", messages=body["messages"], stream=True))
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == f"You said: {words}"
"""
    )


def test_addresses_for_openai_clients(published: PublishedClient, base_url: str, workspace: str) -> None:
    out = published.script(
        REGISTER
        + """
import openai
print(client.models.get_openai_route_base_url())
print(client.models.get_model_entity_route_openai_url(client.models.retrieve("gpt-4", workspace=workspace)))
print(client.models.get_provider_route_openai_url(client.inference.providers.retrieve("openai", workspace=workspace)))
for url in (
    client.models.get_model_entity_route_openai_url(client.models.retrieve("gpt-4")),
    client.models.get_provider_route_openai_url(client.inference.providers.retrieve("openai")),
):
    reply = openai.OpenAI(base_url=url, api_key="none").chat.completions.create(**HELLO)
    assert reply.choices[0].message.content == "You said: Hello!"
"""
    )
    route = f"{base_url}/apis/inference-gateway/v2/workspaces/{workspace}"
    assert out.splitlines()[-3:] == [
        f"{route}/openai/-/v1",
        f"{route}/model/gpt-4/-/v1",
        f"{route}/provider/openai/-",
    ]


def test_providers(published: PublishedClient) -> None:
    published.script(
        """
from datetime import datetime, timedelta, timezone
providers = client.inference.providers
secret = client.secrets.create(name="key-1", value="v")
made = providers.create(
    name="p-full",
    host_url="http://127.0.0.1:9/base",
    api_key_secret_name="key-1",
    auth_header_format="X-Api-Key: {{ auth_secret }}",
    default_extra_headers={"anthropic-version": "2023-06-01"},
    required_extra_headers={"x-team": "a"},
    default_extra_body={"temperature": 0.5},
    required_extra_body={"user": "u"},
    description="all fields",
    project="p",
    enabled_models=[],
)
again = providers.retrieve("p-full")
assert again.to_dict() | {"status": "", "status_message": "", "updated_at": ""} == (
    made.to_dict() | {"status": "", "status_message": "", "updated_at": ""}
)
assert made.auth_header_format == "X-Api-Key: {{ auth_secret }}"
assert (made.default_extra_body, made.required_extra_body) == ({"temperature": 0.5}, {"user": "u"})
assert isinstance(made.created_at, datetime)
for name in ("p-b", "p-c", "q-d"):
    providers.create(name=name, host_url="http://127.0.0.1:9")

# exist_ok takes what is there; without it 409 comes back at once, and only once.
assert providers.create(name="p-full", host_url="http://other", exist_ok=True).id == made.id
started = time.monotonic()
conflict = raises(nemo_platform.ConflictError, providers.create, name="p-full", host_url="http://other")
assert time.monotonic() - started < 0.4
assert conflict.response.headers["x-should-retry"] == "false"

def names(**options):
    return [one.name for one in providers.list(**options)]
assert names(sort="name") == ["p-b", "p-c", "p-full", "q-d"]
assert names(sort="-name", page_size=3) == ["q-d", "p-full", "p-c", "p-b"]
assert [one.name for one in providers.list(sort="name", page_size=3, page=2).data] == ["q-d"]
page = providers.list(sort="name", page_size=3)
assert (page.pagination.total_results, page.pagination.total_pages, page.has_next_page()) == (4, 2, True)
assert [one.name for one in page.get_next_page().data] == ["q-d"]
assert names(filter={"name": {"$like": "P-"}}, sort="name") == ["p-b", "p-c", "p-full"]
assert names(filter={"name": "p-b"}) == ["p-b"]
assert names(filter={"name": {"$in": ["p-b", "q-d"]}}, sort="name") == ["p-b", "q-d"]
assert names(filter={"name": {"$nin": ["p-b", "q-d"]}}, sort="name") == ["p-c", "p-full"]
assert names(filter={"name": {"$like": "p-"}, "description": {"$like": "FIELDS"}}) == ["p-full"]
assert names(filter={"host_url": "http://127.0.0.1:9"}, sort="created_at") == ["p-b", "p-c", "q-d"]
assert names(filter={"project": "p"}) == ["p-full"]
assert names(filter={"status": "READY"}) == []
hour = timedelta(hours=1)
now = datetime.now(timezone.utc)
assert len(names(filter={"created_at": {"$gte": now - hour, "$lte": now + hour}})) == 4
assert names(filter={"created_at": {"$gte": now + hour}}) == []
assert "nvidia-build" in names(workspace="system")
assert {"nvidia-build", "p-full"} <= set(names(workspace="-"))

changed = providers.update("p-full", host_url="http://127.0.0.1:9", description="less")
assert (changed.id, changed.description, changed.project, changed.api_key_secret_name) == (made.id, "less", None, None)
assert providers.update("p-new", host_url="http://127.0.0.1:9").name == "p-new"
told = providers.update_status("p-b", status="LOST", status_message="by hand")
assert (told.status, told.status_message) == ("LOST", "by hand")
assert providers.delete("p-b") is None
raises(nemo_platform.NotFoundError, providers.retrieve, "p-b")
raises(nemo_platform.NotFoundError, providers.delete, "p-b")
"""
    )


def test_waiting(published: PublishedClient, upstreams: dict[Style, Upstream]) -> None:
    out = published.script(
        """
providers = client.inference.providers
assert client.models.wait_for_provider("nobody", timeout=5) is False
assert client.models.wait_for_gateway("nobody", timeout=2) is False
client.secrets.create(name="wrong", value="sk-wrong")
providers.create(name="anthropic", host_url=os.environ["ANTHROPIC_HOST"], api_key_secret_name="wrong",
                 auth_header_format="X-Api-Key: {{ auth_secret }}",
                 default_extra_headers={"anthropic-version": "2023-06-01"})
assert client.models.wait_for_provider("anthropic", timeout=20) is False
client.secrets.update("wrong", value=os.environ["ANTHROPIC_API_KEY"])
while providers.retrieve("anthropic").status == "ERROR":
    time.sleep(0.1)
assert client.models.wait_for_provider("anthropic", timeout=20) is True
assert len(providers.retrieve("anthropic").served_models) == 5
assert client.models.retrieve("claude-3-haiku-20240307").backend_format == "ANTHROPIC_MESSAGES"
"""
    )
    assert "wrong" in out


def test_secrets(published: PublishedClient) -> None:
    out = published.script(
        """
made = client.secrets.create(name="one-key", value="sk-hidden", description="first")
assert (made.name, made.workspace, made.description) == ("one-key", workspace, "first")
client.secrets.create(name="two-key", value="sk-hidden")
assert sorted(one.name for one in client.secrets.list(page_size=1)) == ["one-key", "two-key"]
assert client.secrets.update("one-key", value="sk-hidden-2").description == "first"
assert client.secrets.update("one-key", description="second").description == "second"
assert client.secrets.retrieve("one-key").description == "second"
raises(nemo_platform.PermissionDeniedError, client.secrets.access, "one-key")
done = client.secrets.admin.rotate_encryption_keys()
assert (done.rotated_secrets, done.success) == (0, True)
raises(nemo_platform.ConflictError, client.secrets.create, name="one-key", value="sk-hidden")
error = raises(nemo_platform.UnprocessableEntityError, client.secrets.create, name="No Name", value="sk-hidden")
assert "name" in str(error)
assert "sk-hidden" not in str(error)
raises(nemo_platform.UnprocessableEntityError, client.secrets.create, name="three-key", value="")
client.secrets.delete("one-key")
raises(nemo_platform.NotFoundError, client.secrets.retrieve, "one-key")
print([repr(one) for one in client.secrets.list()])
"""
    )
    assert "sk-hidden" not in out


def test_models_and_virtual_models(published: PublishedClient) -> None:
    published.script(
        REGISTER
        + """
models = client.models
assert [one.name for one in models.list(sort="name")] == ["gpt-3-5-turbo", "gpt-4"]
assert models.retrieve("gpt-4", verbose=True).model_providers == [f"{workspace}/openai"]
made = models.create(name="mine", description="own", backend_format="OPENAI_CHAT", custom_fields={"a": 1})
assert (made.backend_format, made.custom_fields) == ("OPENAI_CHAT", {"a": 1})
assert models.update("mine", description="changed").description == "changed"
assert [one.name for one in models.list(filter={"description": {"$like": "chang"}})] == ["mine"]
assert [one.name for one in models.list(filter={"name": "gpt-4"})] == ["gpt-4"]
models.delete("mine")
raises(nemo_platform.NotFoundError, models.retrieve, "mine")

virtual = client.inference.virtual_models
assert {one.name for one in virtual.list()} == {"gpt-4", "gpt-3-5-turbo"}
assert list(virtual.list(exclude_autoprovisioned=True)) == []
gpt4, gpt35 = f"{workspace}/gpt-4", f"{workspace}/gpt-3-5-turbo"
made = virtual.create(name="assistant", default_model_entity=gpt4, models=[{"model": gpt4}])
assert made.entity_id == made.id
assert [one.name for one in virtual.list(exclude_autoprovisioned=True)] == ["assistant"]
found = virtual.list(filter={"default_model_entity": gpt4}, sort="name")
assert [one.name for one in found] == ["assistant", "gpt-4"]
end = time.monotonic() + 5
while True:
    try:
        reply = client.inference.gateway.openai.post("v1/chat/completions", body={**HELLO, "model": "assistant"})
        break
    except nemo_platform.NotFoundError:
        assert time.monotonic() < end
assert reply["model"] == "gpt-4"
changed = virtual.patch("assistant", default_model_entity=gpt35, models=[{"model": gpt35}])
assert changed.default_model_entity == gpt35
assert virtual.retrieve("assistant").autoprovisioned is False
callable_now = {one.id for one in client.inference.models.list().data}
assert {f"{workspace}/gpt-4", f"{workspace}/assistant"} <= callable_now
virtual.delete("assistant")
raises(nemo_platform.NotFoundError, virtual.retrieve, "assistant")
unknown = [{"name": "none", "config": {}}]
raises(nemo_platform.UnprocessableEntityError, virtual.create, name="other", request_middleware=unknown)
"""
    )


def test_workspaces(published: PublishedClient, workspace: str) -> None:
    published.script(
        """
name = workspace + "-2"
made = client.workspaces.create(name=name, description="second")
assert client.workspaces.create(name=name, exist_ok=True).id == made.id
assert client.workspaces.retrieve(name).description == "second"
assert client.workspaces.update(name, description="changed").description == "changed"
assert {"default", "system", workspace, name} <= {one.name for one in client.workspaces.list(page_size=2, sort="name")}
assert [one.name for one in client.workspaces.list(filter=f'name:"{name}"')] == [name]
assert [one.name for one in client.workspaces.list(filter=json.dumps({"name": {"$eq": name}}))] == [name]
client.secrets.create(name="a-key", value="v", workspace=name)
client.workspaces.delete(name)
raises(nemo_platform.NotFoundError, client.workspaces.retrieve, name)
raises(nemo_platform.NotFoundError, client.inference.providers.list, workspace=name)
raises(nemo_platform.NotFoundError, client.secrets.create, name="a-key", value="v", workspace=name)
"""
    )


def test_errors_are_mapped_and_retried_as_they_should(
    published: PublishedClient, upstreams: dict[Style, Upstream]
) -> None:
    published.script(
        """
providers = client.inference.providers
fields = {"name": "p1", "host_url": "http://h", "api_key_secret_name": "absent"}
error = raises(nemo_platform.BadRequestError, providers.create, **fields)
assert "absent" in str(error), error
error = raises(nemo_platform.UnprocessableEntityError, providers.create, name="p1", host_url="ftp://h")
assert any("host_url" in problem["loc"] for problem in error.body["detail"]), error.body
error = raises(nemo_platform.BadRequestError, providers.list, filter={"nothing": "x"})
error = raises(nemo_platform.UnprocessableEntityError, providers.list, page_size=5000)
error = raises(nemo_platform.NotFoundError, client.inference.gateway.openai.post, "v1/chat/completions", body=HELLO)
assert isinstance(error.body["detail"], str)
# A provider's own refusals, unchanged.
client.secrets.create(name="openai-api-key", value="sk-wrong")
providers.create(name="openai", host_url=os.environ["OPENAI_HOST"], api_key_secret_name="openai-api-key")
client.models.wait_for_gateway("openai", timeout=1)
error = raises(nemo_platform.AuthenticationError, client.inference.gateway.provider.get, "v1/models", name="openai")
assert error.body["error"]["code"] == "invalid_api_key"
client.secrets.delete("openai-api-key")
end = time.monotonic() + 5
while True:
    error = raises(nemo_platform.APIStatusError, client.inference.gateway.provider.get, "v1/models", name="openai")
    if error.status_code == 424:
        break
    assert time.monotonic() < end
"""
    )


def test_the_asynchronous_client(published: PublishedClient) -> None:
    published.script(
        """
import asyncio
from nemo_platform import AsyncNeMoPlatform

async def main():
    async with AsyncNeMoPlatform(workspace=workspace) as client:
        await client.secrets.create(name="nvidia-api-key", value=os.environ["NVIDIA_API_KEY"])
        await client.inference.providers.create(
            name="nvidia", host_url=os.environ["NVIDIA_HOST"], api_key_secret_name="nvidia-api-key")
        assert await client.models.wait_for_provider("nvidia") is True
        model = "nvidia/llama-3.3-nemotron-super-49b-v1"
        reply = await client.inference.gateway.provider.post(
            "v1/chat/completions", name="nvidia", body={**HELLO, "model": model})
        assert reply["model"] == model
        assert len([one async for one in client.models.list(page_size=1)]) == 3
        oai = client.models.get_async_openai_client()
        reply = await oai.chat.completions.create(model=model, messages=HELLO["messages"])
        assert reply.choices[0].message.content == "You said: Hello!"

asyncio.run(main())
"""
    )

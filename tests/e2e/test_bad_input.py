"""Bad input through the front door: a clear answer in one shape, nothing stored, no secret quoted back."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from modelport import Modelport
from modelport_testing.canaries import Kind, canary
from modelport_testing.journeys import GATEWAY, register
from modelport_testing.upstreams import Upstream

CANARY = canary(Kind.PROVIDER, "sk-bad-input-")

SECRETS = "/apis/secrets/v2/workspaces/{ws}/secrets"
PROVIDERS = "/apis/models/v2/workspaces/{ws}/providers"
MODELS = "/apis/models/v2/workspaces/{ws}/models"
VIRTUAL_MODELS = GATEWAY + "/{ws}/virtual-models"
WORKSPACES = "/apis/entities/v2/workspaces"
HOST = {"host_url": "http://127.0.0.1:9"}

BAD_BODIES: list[tuple[str, Any, int, str]] = [
    (SECRETS, {"name": "ok-name"}, 422, "value"),
    (SECRETS, {"name": "ok-name", "value": ""}, 422, "value"),
    (SECRETS, {"name": "ok-name", "value": 7}, 422, "value"),
    (SECRETS, {"name": "Not OK", "value": CANARY}, 422, "name"),
    (SECRETS, {"name": "x", "value": CANARY}, 422, "name"),
    (SECRETS, {"name": ["a"], "value": {"k": CANARY}}, 422, "name"),
    (SECRETS, [CANARY], 422, ""),
    (PROVIDERS, {"name": "ok-name"}, 422, "host_url"),
    (PROVIDERS, {"name": "ok-name", "host_url": "ftp://h"}, 422, "host_url"),
    (PROVIDERS, {"name": "ok-name", "host_url": f"http://user:{CANARY}@h"}, 422, "host_url"),
    (PROVIDERS, {"name": "ok-name", "host_url": "http://h/#frag"}, 422, "host_url"),
    (PROVIDERS, {"name": "ok-name", "host_url": "http://" + "h" * 2048}, 422, "host_url"),
    (PROVIDERS, {"name": "two--dashes", **HOST}, 422, "name"),
    (PROVIDERS, {"name": "ok-name", "api_key_secret_name": "no-such-secret", **HOST}, 400, "no-such-secret"),
    (PROVIDERS, {"name": "ok-name", "auth_header_format": "X-Key: {{ nothing }}", **HOST}, 422, "auth_header_format"),
    (PROVIDERS, {"name": "ok-name", "auth_header_format": "no colon", **HOST}, 422, "auth_header_format"),
    (
        PROVIDERS,
        {"name": "ok-name", "default_extra_headers": {"Authorization": CANARY}, **HOST},
        400,
        "auth_header_format",
    ),
    (PROVIDERS, {"name": "ok-name", "required_extra_headers": {"host": "h"}, **HOST}, 400, "host"),
    (PROVIDERS, {"name": "ok-name", "default_extra_headers": {"x": "a\nb"}, **HOST}, 400, "default_extra_headers"),
    (PROVIDERS, {"name": "ok-name", "default_extra_body": [1], **HOST}, 422, "default_extra_body"),
    (PROVIDERS, {"name": "ok-name", "enabled_models": "gpt-4", **HOST}, 422, "enabled_models"),
    (MODELS, {"name": "-no"}, 422, "name"),
    (MODELS, {"name": "ok-name", "backend_format": "SOAP"}, 422, "backend_format"),
    (VIRTUAL_MODELS, {"name": "ok-name", "models": [{"weight": 1}]}, 422, "model"),
    (VIRTUAL_MODELS, {"name": "ok-name", "request_middleware": [{"name": "no-such"}]}, 422, "middleware"),
    (WORKSPACES, {"name": "UPPER"}, 422, "name"),
    (WORKSPACES, {"name": "default"}, 409, "default"),
]


@pytest.fixture
def http(base_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base_url) as client:
        yield client


def check_error(reply: httpx.Response, status: int, names: str) -> None:
    assert reply.status_code == status, reply.text
    body = reply.json()
    assert set(body) == {"type", "error", "detail"}
    assert body["type"] == "error"
    assert set(body["error"]) == {"type", "message", "code", "param"}
    assert body["error"]["message"]
    assert names in reply.text
    assert CANARY not in reply.text
    assert CANARY not in repr(reply.headers)
    assert reply.headers["x-modelport-request-id"]
    if status == 409:
        assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("path", "body", "status", "names"),
    BAD_BODIES,
    # A test's name must be the same in each of a run's processes, and the canary is not.
    ids=[f"{url.rpartition('/')[2]} {json.dumps(body).replace(CANARY, 'KEY')[:50]}" for url, body, _, _ in BAD_BODIES],
)
def test_a_bad_body(path: str, body: Any, status: int, names: str, http: httpx.Client, workspace: str) -> None:
    url = path.format(ws=workspace)
    check_error(http.post(url, json=body), status, names)
    if url != WORKSPACES:
        assert http.get(url).json()["data"] == []


@pytest.mark.parametrize("path", [SECRETS, PROVIDERS, MODELS, VIRTUAL_MODELS, WORKSPACES])
def test_what_goes_for_every_collection(path: str, http: httpx.Client, workspace: str) -> None:
    url = path.format(ws=workspace)
    broken = b'{"name": "ok-name", "value": "' + CANARY.encode()
    check_error(http.post(url, content=broken, headers={"content-type": "application/json"}), 422, "JSON")
    invalid = b'{"name": "ok-name", "value": "\xff' + CANARY.encode() + b'"}'
    check_error(http.post(url, content=invalid, headers={"content-type": "application/json"}), 400, "UTF-8")
    check_error(http.post(url), 422, "")
    check_error(http.get(url, params={"page": "0"}), 422, "page")
    check_error(http.get(url, params={"page_size": "1001"}), 422, "page_size")
    check_error(http.get(url, params={"sort": "nothing"}), 422, "sort")
    check_error(http.get(f"{url}/nobody"), 404, "nobody")
    check_error(http.delete(f"{url}/nobody"), 404, "nobody")
    assert http.get(url, params={"page": "1000"}).json()["data"] == []
    if path is not SECRETS:
        check_error(http.get(url, params={"filter[nothing]": "x"}), 400, "nothing")
        check_error(http.get(url, params={"filter": '{"name": '}), 400, "filter")
    if path is not WORKSPACES:
        elsewhere = path.format(ws="nowhere")
        check_error(http.get(elsewhere), 404, "nowhere")
        body = {"name": "ok-name", "value": CANARY, **HOST, "models": []}
        check_error(http.post(elsewhere, json=body), 404, "nowhere")


def test_values_that_are_only_a_mask_are_not_stored(http: httpx.Client, workspace: str, client: Modelport) -> None:
    client.secrets.create(name="one-key", value=CANARY)
    check_error(http.patch(f"{SECRETS.format(ws=workspace)}/one-key", json={"value": "********"}), 422, "value")
    check_error(http.post(SECRETS.format(ws=workspace), json={"name": "one-key", "value": CANARY}), 409, "one-key")
    check_error(http.get(f"{SECRETS.format(ws=workspace)}/one-key/access"), 403, "")


def test_system_things_stay(http: httpx.Client) -> None:
    for name in ("default", "system"):
        reply = http.delete(f"{WORKSPACES}/{name}")
        assert reply.status_code in {400, 403, 409}
        assert name in reply.text
    check_error(http.delete("/apis/secrets/v2/workspaces/system/secrets/ngc-api-key"), 403, "NGC_API_KEY")


def test_inference_requests_that_make_no_sense(
    http: httpx.Client, workspace: str, client: Modelport, openai_upstream: Upstream
) -> None:
    register(client, openai_upstream)
    route = f"{GATEWAY}/{workspace}"
    chat = "v1/chat/completions"
    seen = len(openai_upstream.requests)
    json_type = {"content-type": "application/json"}
    check_error(http.post(f"{route}/provider/nobody/-/{chat}", json={}), 404, "nobody")
    check_error(http.post(f"{route}/provider/Not-OK/-/{chat}", json={}), 422, "")
    check_error(http.post(f"{route}/model/nobody/-/{chat}", json={"model": "x"}), 404, "nobody")
    check_error(http.post(f"{route}/openai/-/{chat}", json={"model": "nobody"}), 404, "nobody")
    check_error(http.post(f"{route}/openai/-/{chat}", json={"model": "other-workspace/gpt-4"}), 404, "gpt-4")
    check_error(http.post(f"{route}/openai/-/{chat}", json={}), 400, "model")
    check_error(http.post(f"{route}/openai/-/{chat}", json={"model": 4}), 400, "model")
    check_error(http.post(f"{route}/openai/-/{chat}", json=["gpt-4"]), 400, "")
    check_error(http.post(f"{route}/openai/-/{chat}"), 400, "")
    for body in (
        b'{"model": "gpt-4", "model": "gpt-4"}',
        b'{"model": "gpt-4", "MODEL": "gpt-4"}',
        b'{"model": "gpt-4", "secret": "' + CANARY.encode(),
        b'\xef\xbb\xbf{"model": "gpt-4"}',
    ):
        check_error(http.post(f"{route}/model/gpt-4/-/{chat}", content=body, headers=json_type), 400, "")
    encoded = {**json_type, "content-encoding": "gzip"}
    check_error(http.post(f"{route}/openai/-/{chat}", content=b"\x1f\x8b", headers=encoded), 415, "")
    upgrade = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "eA==",
    }
    check_error(http.get(f"{route}/provider/openai/-/v1/realtime", headers=upgrade), 501, "")
    assert len(openai_upstream.requests) == seen

"""Where to call, and how the platform is: get-url, models, status and cluster-info."""

import json

import pytest

from modelport_testing.nemo import run_here as nemo
from modelport_testing.scripted import (
    Reply,
    Script,
    error,
    page,
    provider,
    virtual_model,
    workspace,
)

PROVIDERS = "/apis/models/v2/workspaces/default/providers"
GATEWAY = "/apis/inference-gateway/v2/workspaces/default"
VIRTUAL_MODELS = f"{GATEWAY}/virtual-models"
WORKSPACES = "/apis/entities/v2/workspaces"


def test_what_can_be_called(script: Script) -> None:
    entry = {"id": "default/gpt-4", "object": "model", "created": 1, "owned_by": "default"}
    script.on("GET", f"{GATEWAY}/openai/-/v1/models", Reply(json={"object": "list", "data": [entry]}))
    script.on("GET", f"{GATEWAY}/openai/-/v1/models/gpt-4", Reply(json=entry))
    assert json.loads(nemo("inference", "models", "list").out) == [entry]
    assert json.loads(nemo("inference", "models", "get", "gpt-4").out) == entry


def test_addresses(script: Script) -> None:
    base = f"{script.url}{GATEWAY}"
    script.on("GET", f"{PROVIDERS}/openai", Reply(json=provider()))
    script.on("GET", f"{VIRTUAL_MODELS}/gpt-4", Reply(json=virtual_model()))
    assert nemo("inference", "get-url").out == f"{base}/openai/-/v1\n"
    assert nemo("inference", "get-url", "--provider", "openai").out == f"{base}/provider/openai/-\n"
    assert nemo("inference", "get-url", "--virtual-model", "gpt-4").out == f"{base}/model/gpt-4/-\n"
    script.on("GET", f"{WORKSPACES}/team", Reply(json=workspace()))
    assert "/workspaces/team/openai" in nemo("inference", "get-url", "--workspace", "team").out
    assert json.loads(nemo("inference", "get-url", "-f", "json").out) == {"url": f"{base}/openai/-/v1"}
    both = nemo("inference", "get-url", "--provider", "a1", "--virtual-model", "b1")
    assert (both.code, both.out) == (2, "")


@pytest.mark.parametrize(("flag", "path"), [("--provider", PROVIDERS), ("--virtual-model", VIRTUAL_MODELS)])
def test_the_address_of_what_does_not_exist(script: Script, flag: str, path: str) -> None:
    script.on("GET", f"{path}/nope", Reply(404, json=error(404, "not_found", "'nope' does not exist")))
    done = nemo("inference", "get-url", flag, "nope")
    assert (done.code, done.out) == (1, "")
    assert "'nope' does not exist (HTTP 404)" in done.err


def test_the_address_of_a_workspace_that_does_not_exist(script: Script) -> None:
    script.on("GET", f"{WORKSPACES}/nope", Reply(404, json=error(404, "not_found", "workspace nope does not exist")))
    done = nemo("inference", "get-url", "--workspace", "nope")
    assert (done.code, done.out) == (1, "")
    assert "workspace nope does not exist (HTTP 404)" in done.err
    assert nemo("inference", "get-url").code == 0
    assert [one.path for one in script.requests] == [f"{WORKSPACES}/nope"]


def test_addresses_while_the_platform_is_away() -> None:
    done = nemo("inference", "get-url", "--provider", "openai")
    assert (done.code, done.out) == (0, f"http://127.0.0.1:9{GATEWAY}/provider/openai/-\n")
    assert "Not checked whether it exists" in done.err
    assert "base_url" not in done.err
    assert nemo("inference", "get-url").err == ""


def test_status_and_cluster_info(script: Script) -> None:
    not_ready = [{"name": "secrets", "message": "starting"}]
    services = {"ready": ["models"], "not_ready": not_ready}
    gateways = [
        {"id": "gw-1", "live": True, "applied": 7, "lag": 0},
        {"id": "gw-2", "live": True, "applied": 4, "lag": 3},
        {"id": "gw-3", "live": True, "applied": None, "lag": None},
        {"id": "gw-4", "live": False, "applied": 2, "lag": 5},
    ]
    metrics = {"gateway": "http://127.0.0.1:1/metrics", "models": "http://127.0.0.1:2/metrics"}
    body = {"status": "not_ready", "services": services, "gateways": gateways, "metrics": metrics}
    script.on("GET", "/status", Reply(json=body))
    everywhere = "/apis/models/v2/workspaces/-/providers"
    listed = page(provider("p1"), provider("p2"), provider("p3", status="ERROR"))
    script.on("GET", everywhere, Reply(json=listed))
    seen = json.loads(nemo("status").out)
    assert seen["providers_in_error"] == [{"name": "default/p3", "message": ""}]
    assert seen["providers"] == {"ERROR": 1, "READY": 2}
    assert seen["services"]["not_ready"] == not_ready
    assert nemo("status", "-f", "table").out == (
        f"Platform   not_ready at {script.url}\n"
        "Services   models ready\n"
        "           secrets not ready: starting\n"
        "Gateways   3 live\n"
        "           gw-1: up to date (change 7)\n"
        "           gw-2: 3 changes behind (change 4)\n"
        "           gw-3: does not have the current routing table yet\n"
        "           gw-4: nothing was heard of it lately\n"
        "Providers  1 ERROR, 2 READY\n"
        "           default/p3: no reason is known\n"
        "Metrics    gateway http://127.0.0.1:1/metrics\n"
        "           models http://127.0.0.1:2/metrics\n"
    )
    script.on("GET", "/cluster-info", Reply(json={"platform_version": "0.1.0", "revision": "abc"}))
    assert json.loads(nemo("cluster-info").out)["platform_version"] == "0.1.0"


def test_status_names_a_few_of_many_providers_in_error(script: Script) -> None:
    script.on("GET", "/status", Reply(json={"status": "ready"}))
    message = "first line\nsecond line " + "x" * 1000
    listed = page(*(provider(f"p{n}", status="ERROR", status_message=message) for n in range(1, 9)))
    script.on("GET", "/apis/models/v2/workspaces/-/providers", Reply(json=listed))
    lines = nemo("status", "-f", "table").out.splitlines()
    assert lines[2] == "Providers  8 ERROR"
    assert [line.split()[0] for line in lines[3:]] == [*(f"default/p{n}:" for n in range(1, 6)), "and"]
    assert "and 3 more: nemo inference providers list" in lines[-1]
    assert "first line second line x" in lines[3]
    assert max(map(len, lines)) < 250


def test_status_while_the_models_service_is_away(script: Script) -> None:
    script.on("GET", "/status", Reply(json={"status": "ready"}))
    script.on("GET", "/apis/models/v2/workspaces/-/providers", Reply(403, json=error(403, "x", "not yours")))
    done = nemo("status")
    assert done.code == 0
    assert "Providers cannot be listed: not yours" in done.err


def test_a_hint_names_no_argument_of_the_sdk() -> None:
    done = nemo("secrets", "list")
    assert "--base-url or NMP_BASE_URL" in done.err

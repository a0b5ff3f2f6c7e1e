"""What the front door says of the whole platform."""

import re
from collections.abc import Iterator

import httpx
import pytest

from modelport_testing.stack import LocalStack


@pytest.fixture
def front(shared_stack: LocalStack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared_stack.base_url) as client:
        yield client


def test_health(front: httpx.Client) -> None:
    assert front.get("/health/live").json() == {"status": "live"}
    ready = front.get("/health/ready")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    for path in ("/v1/health/ready", "/v1/health/live", "/v1/anything", "/nothing"):
        missing = front.get(path)
        assert missing.status_code == 404, path
        assert missing.json()["type"] == "error"


def test_status_names_every_part(front: httpx.Client) -> None:
    status = front.get("/status").json()
    assert status["status"] == "ready"
    assert status["services"]["not_ready"] == []
    assert {"models", "secrets", "gateway", "nats", "redis"} <= set(status["services"]["ready"])
    assert len(status["gateways"]) == 2
    for gateway in status["gateways"]:
        assert set(gateway) == {"id", "live", "applied", "lag"}
        assert gateway["live"]
        assert gateway["applied"] is not None


def test_the_edge_is_told_what_everybody_is_told(front: httpx.Client) -> None:
    edge = front.get("/health/edge")
    assert (edge.status_code, edge.json()) == (200, {"status": "ready"})
    assert front.head("/health/edge").status_code == 200


def test_what_clients_ask_first(front: httpx.Client) -> None:
    assert set(front.get("/cluster-info").json()) == {"platform_version", "revision"}
    assert front.get("/apis/auth/discovery").json() == {"auth_enabled": False, "oidc": None}


def test_one_description_of_all_services(front: httpx.Client) -> None:
    described = front.get("/openapi.json").json()
    paths = set(described["paths"])
    for wanted in (
        "/apis/entities/v2/workspaces",
        "/apis/secrets/v2/workspaces/{workspace}/secrets",
        "/apis/models/v2/workspaces/{workspace}/providers",
        "/apis/models/v2/workspaces/{workspace}/models",
        "/apis/inference-gateway/v2/workspaces/{workspace}/virtual-models",
        "/status",
    ):
        assert wanted in paths
    assert any("/provider/{" in path and "/-/" in path for path in paths)
    page = front.get("/docs")
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 3
    for address in loaded:
        # From here alone: a platform without the network shows it as well.
        assert address.startswith("/docs/")
        file = front.get(address)
        assert file.status_code == 200
        assert len(file.content) > 100
    assert "://" not in page.text
    assert '"validatorUrl": null' in page.text


def test_the_built_in_provider_is_there_from_the_start(front: httpx.Client) -> None:
    listed = front.get("/apis/models/v2/workspaces/system/providers").json()
    (built_in,) = listed["data"]
    assert (built_in["name"], built_in["host_url"]) == ("nvidia-build", "https://integrate.api.nvidia.com")
    assert built_in["api_key_secret_name"] == "ngc-api-key"


def test_every_reply_has_a_request_id(front: httpx.Client) -> None:
    for path in (
        "/health/live",
        "/apis/models/v2/workspaces/default/providers",
        "/apis/secrets/v2/workspaces/default/secrets/none",
        "/apis/inference-gateway/v2/workspaces/default/provider/none/-/v1/models",
        "/apis/inference-gateway/v2/workspaces/default/openai/-/v1/models",
    ):
        reply = front.get(path, headers={"x-request-id": "mine-1234"})
        assert reply.headers["x-modelport-request-id"] == "mine-1234", path
        made = front.get(path)
        assert len(made.headers["x-modelport-request-id"]) >= 8, path


def test_a_service_token_of_ones_own_opens_nothing(front: httpx.Client) -> None:
    refused = front.get(
        "/apis/secrets/v2/workspaces/default/secrets/ngc-api-key/access",
        headers={"x-modelport-service-token": "guess"},
    )
    assert refused.status_code == 403
    assert front.get("/apis/models/v2/snapshot").status_code == 404
    assert front.get("/internal/snapshot").status_code == 404

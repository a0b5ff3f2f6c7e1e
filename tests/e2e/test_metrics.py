"""The metrics of the running platform: where they are, what they say, and that docs/metrics.md names them all."""

import re
from functools import partial
from pathlib import Path

import httpx
import pytest

from modelport import Modelport
from modelport_testing.journeys import register
from modelport_testing.metrics import Scrape, scrape
from modelport_testing.polling import eventually_sync
from modelport_testing.terminal import Terminal
from modelport_testing.upstreams import Upstream

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
_ROW = re.compile(r"^\| `(modelport_\w+)` \| (\w+) \| (.*?) \|", re.MULTILINE)
_ADDRESS = re.compile(r"^(?:Metrics)? +(\S+) (http://127\.0\.0\.1:\d+/metrics)$", re.MULTILINE)


@pytest.fixture
def addresses(terminal: Terminal) -> dict[str, str]:
    """As `nemo status` shows them."""
    return dict(_ADDRESS.findall(terminal.nemo("status", "-f", "table").out))


def test_every_process_shows_its_own(addresses: dict[str, str]) -> None:
    assert set(addresses) == {"gateway-1", "gateway-2", "models", "secrets"}
    assert len(set(addresses.values())) == 4
    for name, url in addresses.items():
        seen = scrape(url)
        assert seen.value("modelport_build_info", service=name.partition("-")[0]) == 1
        assert seen.value("modelport_bus_connected") == 1
        assert seen.value("modelport_event_loop_lag_seconds_count") > 0


def test_never_through_the_front_door(
    base_url: str, addresses: dict[str, str], client: Modelport, workspace: str
) -> None:
    assert httpx.get(f"{base_url}/metrics").status_code == 404
    for name, url in addresses.items():
        client.inference.providers.create(name=f"m-{name}", host_url=url.removesuffix("/metrics"))
        route = f"{base_url}/apis/inference-gateway/v2/workspaces/{workspace}/provider/m-{name}/-/metrics"
        refusals = [eventually_sync(partial(known_refusal, route), 10) for _ in range(6)]
        assert refusals == ["egress_refused"] * 6  # whichever gateway answers


def known_refusal(route: str) -> str | None:
    """Return the code of a refusal, None while a gateway does not know the provider."""
    reply = httpx.get(route)
    assert reply.status_code in (404, 502), reply.text
    return str(reply.json()["error"]["code"]) if reply.status_code == 502 else None


def test_every_metric_is_documented_and_every_documented_one_is_there(addresses: dict[str, str]) -> None:
    documented = {
        name: (kind, frozenset(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in _ROW.findall(PAGE.read_text(encoding="utf-8"))
    }
    shown: dict[str, str] = {}
    for url in addresses.values():
        seen = scrape(url)
        for family in seen.families.values():
            if not family.name.startswith("modelport_"):
                assert family.name.startswith(("process_", "python_")), family.name
                continue
            name = f"{family.name}_total" if family.type == "counter" else family.name
            shown[name] = family.type
            for labels in seen.labels(family.name):
                assert labels == documented[name][1], name
    assert shown == {name: kind for name, (kind, _) in documented.items()}


def test_requests_are_counted_on_their_way(
    addresses: dict[str, str], client: Modelport, workspace: str, openai_upstream: Upstream
) -> None:
    before = scrape(addresses["models"])
    register(client, openai_upstream)
    label = f"{workspace}/openai"

    served = {"provider": label, "route": "provider", "status": "2xx", "error_origin": "none"}

    def gateway_that_served() -> Scrape | None:
        for name in ("gateway-1", "gateway-2"):
            seen = scrape(addresses[name])
            if seen.value("modelport_gateway_requests_total", **served) >= 1:
                return seen
        return None

    client.inference.gateway.provider.get("v1/models", name="openai")
    seen = eventually_sync(gateway_that_served, 10)
    assert seen is not None
    assert seen.value("modelport_gateway_first_byte_duration_seconds_count", provider=label) >= 1
    assert seen.value("modelport_gateway_table_connected") == 1
    assert seen.value("modelport_gateway_table_complete") == 2
    assert seen.value("modelport_gateway_secrets_held") >= 1
    after = scrape(addresses["models"])
    made = {"method": "POST", "route": "/apis/models/v2/workspaces/{workspace}/providers", "status": "2xx"}
    name = "modelport_http_requests_total"
    assert after.value(name, **made) > before.value(name, **made)
    committed = {"kind": "write", "outcome": "committed"}
    name = "modelport_database_transactions_total"
    assert after.value(name, **committed) > before.value(name, **committed)

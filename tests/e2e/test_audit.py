"""The audit trail through the whole platform (docs/audit.md)."""

import csv
import io

import httpx

from modelport import Modelport
from modelport_testing.journeys import register
from modelport_testing.polling import eventually_sync
from modelport_testing.terminal import Terminal
from modelport_testing.upstreams import Upstream


def test_who_did_what(client: Modelport, workspace: str, terminal: Terminal, openai_upstream: Upstream) -> None:
    """A key is stored, used by a gateway and asked for by somebody who must not have it; each is told of."""
    register(client, openai_upstream)
    [key] = client.secrets.list()
    access = f"{client.base_url}/apis/secrets/v2/workspaces/{workspace}/secrets/{key.name}/access"
    forged = {"x-modelport-client-address": "192.0.2.1", "x-request-id": "of-a-thief"}
    assert httpx.get(access, headers=forged, trust_env=False).status_code == 403

    def told() -> set[tuple[str, str, str, str | None, str]]:
        events = client.audit.list(workspace=workspace, page_size=3)
        return {(one.action, one.kind, one.name, one.actor, one.outcome) for one in events}

    expected = {
        ("create", "workspace", workspace, "front-door", "ok"),
        ("create", "secret", key.name, "front-door", "ok"),
        ("create", "provider", "openai", "front-door", "ok"),
        ("status", "provider", "openai", "models", "ok"),
        ("reveal", "secret", key.name, "gateway", "ok"),
        ("reveal", "secret", key.name, "front-door", "not_allowed"),
    }
    eventually_sync(lambda: expected <= told())
    [refused] = client.audit.list(workspace=workspace, filter={"outcome": "not_allowed"})
    assert (refused.address, refused.request_id) == ("127.0.0.1", "of-a-thief"), "as the front door saw it"
    listed = terminal.run(
        "nemo", "audit", "list", "--workspace", workspace, "--sort", "created_at", "--all-pages", "-f", "csv"
    ).ok()
    assert openai_upstream.key is not None
    assert openai_upstream.key not in listed
    rows = list(csv.DictReader(io.StringIO(listed)))
    times = [row["created_at"] for row in rows]
    assert times == sorted(times)
    assert {row["service"] for row in rows} == {"models", "secrets"}

"""`nemo audit list`."""

import json

import pytest

from modelport_testing.nemo import run_here as nemo
from modelport_testing.scripted import Reply, Script, page

MODELS, SECRETS = "/apis/models/v2/audit", "/apis/secrets/v2/audit"
REVEAL = {
    "id": 7,
    "service": "secrets",
    "created_at": "2026-01-02T03:04:05",
    "actor": "gateway",
    "address": "192.0.2.7",
    "request_id": "r-7",
    "action": "reveal",
    "kind": "secret",
    "workspace": "team",
    "name": "openai-key",
    "outcome": "ok",
    "after": {"version": 3},
}
MADE = {"id": 1, "service": "models", "created_at": "2026-01-01T00:00:00", "action": "create", "kind": "workspace",
        "workspace": "team", "name": "team", "outcome": "ok"}  # fmt: skip


@pytest.fixture
def both(script: Script) -> Script:
    script.on("GET", MODELS, Reply(json=page(MADE)))
    script.on("GET", SECRETS, Reply(json=page(REVEAL)))
    return script


def test_both_services_by_time(both: Script) -> None:
    done = nemo("audit", "list", "-f", "json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == [REVEAL, MADE]
    assert all("filter[workspace]" not in one.query for one in both.requests), "all workspaces, without the flag"


def test_as_a_table(both: Script) -> None:
    done = nemo("audit", "list", "-f", "table")
    head, first, _ = done.out.splitlines()
    assert head.split() == ["TIME", "ACTION", "KIND", "NAME", "OUTCOME", "ACTOR", "ADDRESS", "REQUEST"]
    assert first.split() == [
        "2026-01-02T03:04:05", "reveal", "secret", "team/openai-key", "ok", "gateway", "192.0.2.7", "r-7",
    ]  # fmt: skip


def test_the_flags(both: Script) -> None:
    flags = ["--workspace", "team", "--service", "secrets", "--filter", 'action:"reveal"', "--sort", "name"]
    assert json.loads(nemo("audit", "list", *flags, "--page", "1", "--page-size", "5").out) == [REVEAL]
    [asked] = both.requests
    assert asked.query == {
        "filter": ['action:"reveal"'],
        "filter[workspace]": ["team"],
        "sort": ["name"],
        "page": ["1"],
        "page_size": ["5"],
    }


def test_what_cannot_be_sorted_by(both: Script) -> None:
    done = nemo("audit", "list", "--sort", "name")
    assert done.code in {1, 2}
    assert "sort must be -created_at or created_at" in done.err
    assert not both.requests

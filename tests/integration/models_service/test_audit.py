"""The models service's part of the audit trail (docs/audit.md)."""

from typing import Any

import httpx

from modelport_contracts.resources.providers import ProviderCreate, ProviderStatus
from modelport_kit.database.audit import AuditTrail
from modelport_kit.database.engine import Database
from modelport_kit.lists import PageRequest
from modelport_models.domain.verdict import ProbeState
from modelport_models.store import Stores
from modelport_models.store.probes import ProbeResult
from modelport_testing.services import Services, error_of, result_of

AUDIT = "/apis/models/v2/audit"
KEY = "hunter2"


def trail(models: httpx.Client, workspace: str) -> list[dict[str, Any]]:
    """The events of a workspace, oldest first."""
    query = {"filter[workspace]": workspace, "sort": "created_at"}
    found: list[dict[str, Any]] = result_of(models.get(AUDIT, params=query))["data"]
    return found


def test_what_users_do(services: Services, models: httpx.Client, workspace: str) -> None:
    root = f"/apis/models/v2/workspaces/{workspace}"
    gateway = f"/apis/inference-gateway/v2/workspaces/{workspace}/virtual-models"
    provider = {"host_url": "https://h.example", "required_extra_headers": {"x-team": KEY}}
    result_of(models.put(f"{root}/providers/made", json=provider, headers={"x-request-id": "r-1"}), 201)
    result_of(models.put(f"{root}/providers/made", json=provider | {"required_extra_headers": {"x-team": "other"}}))
    served = [{"model_entity_id": f"{workspace}/gpt-4", "served_model_name": "gpt-4"}]
    result_of(models.put(f"{root}/providers/made/status", json={"status": "READY", "served_models": served}))
    result_of(models.post(f"{root}/models", json={"name": "mine", "spec": {"key": KEY}}), 201)
    result_of(models.patch(f"{root}/models/mine", json={"description": "ours"}))
    result_of(models.patch(f"{root}/models/mine", json={}))
    error_of(models.post(f"{root}/models", json={"name": "mine"}), 409)
    result_of(models.post(gateway, json={"name": "chat"}), 201)
    result_of(models.delete(f"{root}/models/mine"), 204)
    result_of(models.put(f"/apis/entities/v2/workspaces/{workspace}", json={"description": "theirs"}))
    result_of(models.delete(f"/apis/entities/v2/workspaces/{workspace}"))
    events = trail(models, workspace)
    assert [(event["action"], event["kind"], event["name"]) for event in events] == [
        ("create", "workspace", workspace),
        ("create", "provider", "made"),
        ("update", "provider", "made"),
        ("status", "provider", "made"),
        ("create", "model", "mine"),
        ("update", "model", "mine"),
        ("create", "virtual-model", "chat"),
        ("delete", "model", "mine"),
        ("update", "workspace", workspace),
        ("delete", "virtual-model", "chat"),
        ("delete", "provider", "made"),
        ("delete", "workspace", workspace),
    ], "what discovery makes of served models follows from the provider"
    assert {event["actor"] for event in events} == {"front-door"}
    assert KEY not in str(events)
    _, made, changed, status, *_ = events
    assert (made["request_id"], made["address"]) == ("r-1", "127.0.0.1")
    assert made["after"]["required_extra_headers"] == ["x-team"]
    assert changed["before"] == changed["after"] == {"required_extra_headers": ["x-team"]}
    assert status["after"] == {"status": "READY", "served_models": 1}
    assert events[5]["before"] == {"description": None}
    assert len({event["request_id"] for event in events[-3:]}) == 1, "all that one request removed"


async def test_what_discovery_finds(open_stores: Any) -> None:
    stores: Stores
    database: Database
    stores, database = open_stores()
    await stores.providers.create("default", ProviderCreate(name="one", host_url="https://h.example"))

    async def probed(status: ProviderStatus) -> None:
        due = {one.name: one for one in await stores.probes.claim_due(1e12, 60, 10)}["one"]
        entities = {"gpt-4": "gpt-4"} if status == ProviderStatus.READY else None
        await stores.probes.store([ProbeResult(due, ProbeState(status, "why", 0, None), entities, 0.0)])

    for status in ("PENDING", "READY", "READY", "ERROR", "ERROR", "READY"):
        await probed(ProviderStatus(status))
    wanted = PageRequest(sort="created_at", page_size=1000)
    found = [one for one in (await AuditTrail(database).list(wanted))[0] if one.workspace == "default"]
    assert [(one.action, one.kind, one.actor, one.after) for one in found[2:]] == [
        ("status", "provider", "models", {"status": "READY"}),
        ("status", "provider", "models", {"status": "ERROR"}),
        ("status", "provider", "models", {"status": "READY"}),
    ]

"""Who may call a service, route by route (docs/wire.md, 3.3; docs/propagation.md, rule 23)."""

import re

import pytest
from fastapi.routing import iter_route_contexts

from modelport_contracts.errors import SERVICE_TOKEN_HEADER
from modelport_testing.canaries import Kind, canary
from modelport_testing.services import KINDS, Services, build_app, error_of

OPEN = {"/health/live", "/health/ready"}
SCOPES = {"front-door": {"api"}, "models": {"api"}, "secrets": {"api"}, "gateway": {"reveal", "sync"}}


def routes(services: Services, kind: str) -> list[tuple[str, str]]:
    """Every method and path of a service."""
    found = []
    for context in iter_route_contexts(build_app(kind, services.keys).routes):
        assert context.path is not None
        path = re.sub(r"\{[^}]+\}", "nowhere-at-all", context.path)
        found += [(method, path) for method in sorted(context.methods or ())]
    assert len(found) > 8
    return found


def needed(path: str) -> set[str]:
    """The scopes of which a caller needs one."""
    if path.endswith("/access"):
        return {"reveal"}
    if path.startswith("/internal/"):
        return {"sync"}
    return {"api", "sync"} if path == "/openapi.json" else {"api"}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_health_is_answered_without_a_token(services: Services, kind: str) -> None:
    client = services.client(kind, None)
    answered = set()
    for method, path in routes(services, kind):
        if path in OPEN:
            assert client.request(method, path).status_code == 200
            answered.add(path)
            continue
        for headers in (
            {},
            {SERVICE_TOKEN_HEADER: ""},
            {SERVICE_TOKEN_HEADER: "0" * 64},
            {"authorization": "Bearer x"},
        ):
            error_of(client.request(method, path, headers=headers, json={}), 401, "service_token_missing")
    assert answered == OPEN


@pytest.mark.parametrize("kind", KINDS)
def test_a_caller_gets_no_further_than_its_scopes(services: Services, kind: str) -> None:
    for caller, scopes in SCOPES.items():
        client = services.client(kind, caller)
        for method, path in routes(services, kind):
            if path in OPEN:
                continue
            reply = client.request(method, path, json={})
            if needed(path) & scopes:
                assert reply.status_code not in {401, 403}, (caller, method, path)
            else:
                error_of(reply, 403)


def test_the_front_door_cannot_reveal(services: Services) -> None:
    secrets = services.client("secrets")
    path = "/apis/secrets/v2/workspaces/default/secrets"
    assert secrets.post(path, json={"name": "of-tokens", "value": canary(Kind.PROVIDER, "hunter2-")}).status_code == 201
    reply = secrets.get(f"{path}/of-tokens/access")
    error_of(reply, 403)
    assert "hunter2" not in reply.text

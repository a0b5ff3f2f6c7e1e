"""Old backups of the databases are restored under running gateways, whose routing table knows better: it forgets it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from modelport import Modelport
from modelport_testing.backups import back_up, restore
from modelport_testing.gateways import Fleet, start_fleet
from modelport_testing.journeys import GATEWAY
from modelport_testing.polling import eventually_sync
from modelport_testing.postgres import PostgresServer
from modelport_testing.providers import RecordedRequest, Style
from modelport_testing.upstreams import Upstream, start_upstream


@pytest.fixture
def fleet(database_server: PostgresServer | None, tmp_path: Path) -> Iterator[Fleet]:
    """Two gateways, and services on each kind of database."""
    with start_fleet(tmp_path, 2, postgres=database_server) as running:
        yield running


@pytest.fixture
def before() -> Iterator[Upstream]:
    with start_upstream(Style.OPENAI) as running:
        yield running


@pytest.fixture
def after() -> Iterator[Upstream]:
    with start_upstream(Style.OPENAI) as running:
        yield running


def test_a_restored_backup_heals_by_itself(
    fleet: Fleet, database_server: PostgresServer | None, tmp_path: Path, before: Upstream, after: Upstream
) -> None:
    services = fleet.services
    with Modelport(fleet[0].url) as client:
        client.secrets.create(name="key", value="of-before")
        for name in ("kept", "removed"):
            client.inference.providers.create(name=name, host_url=before.host_url, api_key_secret_name="key")
        everywhere(fleet, kept=(before, "of-before"), removed=(before, "of-before"))
        urls = {kind: services[kind].environment["MODELPORT_DATABASE_URL"] for kind in ("models", "secrets")}
        for kind, url in urls.items():
            back_up(url, database_server, tmp_path / f"{kind}.backup")
        client.secrets.update("key", value="lost")
        client.inference.providers.update("kept", host_url=after.host_url, api_key_secret_name="key")
        client.inference.providers.delete("removed")
        client.inference.providers.create(name="later", host_url=after.host_url)
        everywhere(fleet, kept=(after, "lost"), later=(after, ""), removed=None)
        for kind, url in urls.items():
            services[kind].stop()
            restore(url, database_server, tmp_path / f"{kind}.backup")
            services[kind].start()
        everywhere(fleet, kept=(before, "of-before"), removed=(before, "of-before"), later=None)
        # and life goes on: no revision is one that was known before
        client.secrets.update("key", value="of-after")
        client.inference.providers.update("kept", host_url=after.host_url, api_key_secret_name="key")
        client.inference.providers.create(name="later", host_url=before.host_url)
        everywhere(fleet, kept=(after, "of-after"), removed=(before, "of-after"), later=(before, ""))
    for kind in urls:
        assert "this database was restored" in services[kind].log()


def everywhere(fleet: Fleet, **routes: tuple[Upstream, str] | None) -> None:
    """Wait until every gateway sends each provider's requests there, with that key; None: it knows no such provider."""
    for gateway in fleet.gateways:
        for name, where in routes.items():
            eventually_sync(lambda url=gateway.url, name=name, where=where: _goes(url, name, where), 20)  # type: ignore[misc]


def _goes(gateway: str, name: str, where: tuple[Upstream, str] | None) -> bool:
    seen = len(where[0].requests) if where else 0
    reply = httpx.get(f"{gateway}{GATEWAY}/default/provider/{name}/-/v1/models", timeout=10)
    if where is None:
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "provider_not_found")
        return True
    upstream, key = where
    assert reply.status_code == 200, reply.text
    sent = [_authorization(request) for request in upstream.requests[seen:]]
    assert (f"Bearer {key}" if key else "") in sent, sent
    return True


def _authorization(request: RecordedRequest) -> str:
    return next((value.decode() for name, value in request.headers if name.lower() == b"authorization"), "")

"""Secrets through restarts, changed environments and keys, and while the models service is away."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from modelport_testing.canaries import Kind, canary
from modelport_testing.polling import eventually_sync
from modelport_testing.services import Services, error_of, make_workspace, new_kek, result_of, write_keks
from modelport_testing.transit import start_transit

ONE, TWO = canary(Kind.PROVIDER, "nvapi-one-"), canary(Kind.PROVIDER, "nvapi-two-")
PATH = "/apis/secrets/v2/workspaces/default/secrets"
ROTATE = "/apis/secrets/v2/rotate-encryption-keys"
BUILT_IN = "/apis/secrets/v2/workspaces/system/secrets/ngc-api-key"


def ask(
    services: Services, method: str, path: str, *, kind: str = "secrets", caller: str = "front-door", **body: object
) -> httpx.Response:
    """One request on a connection of its own: the service may have been restarted since the last."""
    return httpx.request(
        method,
        services[kind].url + path,
        headers=services.keys.headers(caller),
        json=body or None,
        timeout=15,
        trust_env=False,
    )


def restart(services: Services, **environment: str | None) -> None:
    service = services["secrets"]
    service.stop()
    for name, value in environment.items():
        service.environment.pop(name, None)
        if value is not None:
            service.environment[name] = value
    service.start()


def built_in(services: Services) -> str | None:
    reply = ask(services, "GET", f"{BUILT_IN}/access", caller="gateway")
    if reply.status_code == 404:
        assert reply.json()["error"]["code"] == "secret_not_set"
        return None
    return str(result_of(reply)["value"])


def marker_revision(services: Services, secret: str = "system/ngc-api-key") -> int | None:
    page = result_of(ask(services, "GET", "/internal/v1/snapshot", caller="gateway"))
    found = [one["envelope"]["revision"] for one in page["records"] if one["envelope"]["key"] == f"secret/{secret}"]
    return found[0] if found else None


def test_the_built_in_secret_follows_the_environment(own_services: Services) -> None:
    assert (built_in(own_services), marker_revision(own_services)) == (None, None)
    restart(own_services, NGC_API_KEY=ONE)
    first = marker_revision(own_services)
    assert built_in(own_services) == ONE
    assert first is not None
    restart(own_services)
    assert (built_in(own_services), marker_revision(own_services)) == (ONE, first), "nothing changed"
    restart(own_services, NGC_API_KEY=f" {ONE}\n")
    assert (built_in(own_services), marker_revision(own_services)) == (ONE, first), "white space is none of it"
    restart(own_services, NGC_API_KEY=TWO)
    second = marker_revision(own_services)
    assert built_in(own_services) == TWO
    assert second is not None
    assert second > first
    for blank in (None, "", "  "):
        restart(own_services, NGC_API_KEY=blank)
        assert (built_in(own_services), marker_revision(own_services)) == (None, None)
    assert result_of(ask(own_services, "GET", BUILT_IN))["name"] == "ngc-api-key"
    assert "nvapi" not in own_services.logs()


def test_secrets_survive_a_crash(own_services: Services) -> None:
    result_of(ask(own_services, "POST", PATH, name="key", value="kept"), 201)
    own_services["secrets"].kill()
    own_services["secrets"].start()
    assert result_of(ask(own_services, "GET", f"{PATH}/key/access", caller="gateway"))["value"] == "kept"


def database(services: Services) -> sqlite3.Connection:
    return sqlite3.connect(
        services["secrets"].environment["MODELPORT_DATABASE_URL"].removeprefix("sqlite+aiosqlite:///")
    )


def test_the_database_holds_no_value(own_services: Services) -> None:
    result_of(ask(own_services, "POST", PATH, name="key", value=f"hunter2-{ONE}"), 201)
    result_of(ask(own_services, "PATCH", f"{PATH}/key", value=f"hunter2-{TWO}"))
    own_services["secrets"].stop()
    folder = Path(
        own_services["secrets"].environment["MODELPORT_DATABASE_URL"].removeprefix("sqlite+aiosqlite:///")
    ).parent
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert any(file.suffix == ".db" for file in files)
    assert [file for file in files if b"hunter2" in file.read_bytes()] == []


def test_a_row_copied_over_another_is_not_revealed(own_services: Services) -> None:
    for name in ("mine", "yours"):
        result_of(ask(own_services, "POST", PATH, name=name, value=f"value of {name}"), 201)
    with closing(database(own_services)) as connection, connection:
        connection.execute(
            "UPDATE secret SET (kek_id, wrapped_key, ciphertext, revision) ="
            " (SELECT kek_id, wrapped_key, ciphertext, revision FROM secret WHERE name = 'yours') WHERE name = 'mine'"
        )
    reply = ask(own_services, "GET", f"{PATH}/mine/access", caller="gateway")
    assert "default/mine" in error_of(reply, 500, "secret_unreadable")
    assert "value of" not in reply.text
    assert result_of(ask(own_services, "GET", f"{PATH}/yours/access", caller="gateway"))["value"] == "value of yours"


def refused(services: Services, kind: str = "secrets") -> str:
    """Start a service that cannot start; return the one line that it says, and see that trying again would not help."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", f"modelport_{kind}"],
        env=services[kind].environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == os.EX_CONFIG, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"modelport_{kind}: ")
    return line


def value_of(services: Services, name: str) -> str:
    return str(result_of(ask(services, "GET", f"{PATH}/{name}/access", caller="gateway"))["value"])


def kek_ids(services: Services) -> set[str]:
    with closing(database(services)) as connection:
        return {kek_id for (kek_id,) in connection.execute("SELECT kek_id FROM secret WHERE ciphertext IS NOT NULL")}


def test_a_key_encryption_key_is_replaced(own_services: Services) -> None:
    kek, old, new = own_services.keys.kek, own_services.keys.kek.read_text().strip(), new_kek()
    for name in ("one", "two"):
        result_of(ask(own_services, "POST", PATH, name=name, value=f"value of {name}"), 201)
    revisions = [marker_revision(own_services, f"default/{name}") for name in ("one", "two")]
    [old_id] = kek_ids(own_services)
    own_services["secrets"].stop()
    write_keks(kek, new)
    line = refused(own_services)
    assert f"need the key-encryption key {old_id}; " in line
    assert new not in line
    write_keks(kek, new, old)
    own_services["secrets"].start()
    assert value_of(own_services, "one") == "value of one"
    assert result_of(ask(own_services, "POST", ROTATE), 202) == {"rotated_secrets": 2, "success": True}
    assert result_of(ask(own_services, "POST", ROTATE), 202) == {"rotated_secrets": 0, "success": True}
    assert [marker_revision(own_services, f"default/{name}") for name in ("one", "two")] == revisions
    own_services["secrets"].stop()
    write_keks(kek, new)
    own_services["secrets"].start()
    assert value_of(own_services, "two") == "value of two"
    assert kek_ids(own_services).isdisjoint({old_id})
    for text in (old, new):
        assert text not in own_services.logs()


def test_the_key_in_vault(own_services: Services, tmp_path: Path) -> None:
    result_of(ask(own_services, "POST", PATH, name="key", value="kept"), 201)
    token = tmp_path / "vault.token"
    with start_transit() as vault:
        token.write_text(vault.token)
        restart(
            own_services,
            MODELPORT_KEK_FIRST="vault",
            MODELPORT_VAULT_ADDR=vault.url,
            MODELPORT_VAULT_TOKEN_FILE=str(token),
            MODELPORT_VAULT_TRANSIT_KEY="modelport",
        )
        assert result_of(ask(own_services, "POST", ROTATE), 202) == {"rotated_secrets": 1, "success": True}
        assert kek_ids(own_services) == {"vault:transit/modelport:v1"}
        assert value_of(own_services, "key") == "kept"
        vault.stop()
        for reply in (
            ask(own_services, "GET", f"{PATH}/key/access", caller="gateway"),
            ask(own_services, "PATCH", f"{PATH}/key", value="other"),
            ask(own_services, "POST", ROTATE),
        ):
            assert "cannot be reached" in error_of(reply, 503, "vault_away")
            assert "retry-after" in reply.headers
        assert result_of(ask(own_services, "GET", PATH))["data"][0]["name"] == "key", "what needs no key goes on"
        own_services["secrets"].stop()
        for name in ("MODELPORT_KEK_FIRST", "MODELPORT_KEK_FILE"):
            del own_services["secrets"].environment[name]
        with ThreadPoolExecutor() as threads:
            starting = threads.submit(own_services["secrets"].start)
            eventually_sync(lambda: "cannot start yet, waiting" in own_services["secrets"].log(), 20)
            vault.start()
            starting.result()
        assert value_of(own_services, "key") == "kept"
        own_services["secrets"].stop()
        token.write_text("another")
        assert "Vault refuses the use of vault:transit/modelport" in refused(own_services)
        assert vault.token not in own_services.logs()


def test_while_the_models_service_is_away(own_services: Services) -> None:
    result_of(ask(own_services, "POST", PATH, name="key", value="v"), 201)
    own_services["models"].stop()
    for reply in (
        ask(own_services, "POST", PATH, name="other", value=f"hunter2-{ONE}"),
        ask(own_services, "PATCH", f"{PATH}/key", value=f"hunter2-{ONE}"),
        ask(own_services, "GET", f"{PATH}/key"),
        ask(own_services, "GET", PATH),
        ask(own_services, "GET", PATH.replace("default", "-")),
        ask(own_services, "DELETE", f"{PATH}/key"),
    ):
        assert "models service" in error_of(reply, 503), "whose secret it is, nobody can say"
        assert "retry-after" in reply.headers
        assert "hunter2" not in reply.text
    assert result_of(ask(own_services, "GET", f"{PATH}/key/access", caller="gateway"))["value"] == "v"
    own_services["models"].start()
    own_services["models"].pause()
    started = time.monotonic()
    assert result_of(ask(own_services, "GET", f"{PATH}/key/access", caller="gateway"))["value"] == "v"
    assert time.monotonic() - started < 3, "the gateway waits for no more than 5 s"
    own_services["models"].resume()
    result_of(ask(own_services, "PATCH", f"{PATH}/key", value="w"))
    result_of(ask(own_services, "POST", PATH, name="other", value="v"), 201)


def test_while_the_secrets_service_is_away(own_services: Services) -> None:
    own_services["secrets"].stop()
    providers = "/apis/models/v2/workspaces/default/providers"
    reply = ask(
        own_services,
        "POST",
        providers,
        kind="models",
        name="pp",
        host_url="https://h.example",
        api_key_secret_name="key",
    )
    assert "secrets service" in error_of(reply, 503)
    result_of(ask(own_services, "POST", providers, kind="models", name="pp", host_url="https://h.example"), 201)


def test_a_workspace_removed_while_the_secrets_service_was_away(own_services: Services) -> None:
    workspace = make_workspace(own_services.client("models"))
    path = f"/apis/secrets/v2/workspaces/{workspace}/secrets"
    result_of(ask(own_services, "POST", path, name="key", value="v"), 201)
    own_services["secrets"].kill()
    own_services.nats.stop()
    result_of(ask(own_services, "DELETE", f"/apis/entities/v2/workspaces/{workspace}", kind="models"))
    own_services["secrets"].start()
    own_services.nats.start()
    eventually_sync(lambda: marker_revision(own_services, f"{workspace}/key") is None, 20, interval=0.1)


WRONG_SETTINGS = [
    ("MODELPORT_KEK_FILE", "short", "does not hold 32 bytes"),
    ("MODELPORT_KEK_FILE", None, "cannot read"),
    ("MODELPORT_SERVICE_TOKEN_FILE", "", "is empty"),
    ("MODELPORT_SERVICE_TRUST_FILE", json.dumps({}), "is not a list of callers"),
    ("MODELPORT_DATABASE_URL", "mysql://u:hunter2@h/d", "is not supported"),
    ("MODELPORT_PORT", "ninety", "valid integer"),
    ("MODELPORT_NATS_URL", None, "Field required"),
]


def test_a_wrong_setting_is_one_line(own_services: Services, tmp_path: Path) -> None:
    service = own_services["secrets"]
    service.stop()
    right = dict(service.environment)
    for variable, content, words in WRONG_SETTINGS:
        before = len(service.log())
        service.environment.update(right)
        file = tmp_path / "given"
        file.unlink(missing_ok=True)
        if variable.endswith("_FILE"):
            if content is not None:
                file.write_text(content)
                file.chmod(0o600)
            service.environment[variable] = str(file)
        elif content is None:
            del service.environment[variable]
        else:
            service.environment[variable] = content
        with pytest.raises(AssertionError, match="the server ended"):
            service.start()
        (line,) = (line for line in service.log()[before:].splitlines() if not line.startswith("20"))
        assert line.startswith("modelport_secrets: ")
        assert variable in line
        assert words in line
        assert "hunter2" not in line


@pytest.mark.parametrize("kind", ["models", "secrets"])
def test_a_newer_database_is_refused_in_one_line(own_services: Services, tmp_path: Path, kind: str) -> None:
    service = own_services[kind]
    service.stop()
    with closing(sqlite3.connect(tmp_path / "services" / f"{kind}.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'from_tomorrow'")
    line = refused(own_services, kind)
    assert line.startswith(f"modelport_{kind}: the database has schema from_tomorrow, made by a newer release")

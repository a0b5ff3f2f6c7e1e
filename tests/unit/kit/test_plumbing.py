"""Small decisions of the plumbing: readiness, restarts, request ids, settings, tokens."""

import hashlib
import json
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from modelport_contracts.egress import EgressAllow
from modelport_contracts.records import Change, Envelope
from modelport_gateway.settings import GatewaySettings
from modelport_kit.database.engine import async_url
from modelport_kit.database.outbox import newest_per_key
from modelport_kit.database.write import OutboxRow
from modelport_kit.health import Readiness
from modelport_kit.http import request_id_from
from modelport_kit.lifecycle import restart_delay_s
from modelport_kit.redaction import redact_text
from modelport_kit.service_tokens import TrustedCallers
from modelport_kit.settings import ServiceSettings, SettingsError, load, read_secret_file
from modelport_models.settings import ModelsSettings


def test_readiness_is_reached_once_and_kept() -> None:
    up = {"nats": False, "redis": False}
    readiness = Readiness({"nats": lambda: up["nats"]})
    readiness.add("redis", lambda: up["redis"])
    assert readiness.waiting_for() == ["nats", "redis"]
    up["nats"] = True
    assert readiness.waiting_for() == ["redis"]
    up.update(nats=False, redis=True)
    assert readiness.waiting_for() == []
    up["redis"] = False
    assert readiness.waiting_for() == []
    readiness.draining = True
    assert readiness.waiting_for() == ["draining"]


def test_nothing_to_wait_for() -> None:
    assert Readiness().waiting_for() == []


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_restarts_slow_down_to_a_limit(failures: int, jitter: float) -> None:
    delay = restart_delay_s(failures, jitter)
    assert 0.025 <= delay <= 5
    assert delay <= restart_delay_s(failures + 1, 1)


def test_the_first_restart_comes_soon() -> None:
    assert restart_delay_s(0, 1) == 0.05
    assert restart_delay_s(3, 1) == 0.4
    assert restart_delay_s(99, 0) == 2.5


@pytest.mark.parametrize("raw", ["a", "A-1_b.c:d", "x" * 128])
def test_harmless_request_ids_are_taken(raw: str) -> None:
    assert request_id_from(raw) == raw


@pytest.mark.parametrize("raw", [None, "", "a b", "a\nb", "x" * 129, "ä", "a;b", '"'])
def test_others_are_replaced(raw: str | None) -> None:
    made = request_id_from(raw)
    assert made != raw
    assert request_id_from(made) == made


def row(row_id: int, key: str, revision: int) -> OutboxRow:
    envelope = Envelope(key=key, source="models", incarnation="one", revision=revision, operation="put")
    return OutboxRow(row_id, Change(envelope=envelope, payload=b"{}"))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=20))
def test_only_the_newest_row_of_a_key_is_published(pairs: list[tuple[str, int]]) -> None:
    rows = [row(number, key, revision) for number, (key, revision) in enumerate(pairs)]
    newest = newest_per_key(rows)
    assert list(newest) == list(dict.fromkeys(key for key, _ in pairs))
    for key, kept in newest.items():
        assert kept.change.envelope.revision == max(revision for other, revision in pairs if other == key)
        assert kept in rows


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:////data/a.db", "sqlite+aiosqlite:////data/a.db"),
        ("sqlite+aiosqlite:////data/a.db", "sqlite+aiosqlite:////data/a.db"),
        ("postgresql://u:p%40w@h:5/d", "postgresql+asyncpg://u:p%40w@h:5/d"),
        ("postgresql+psycopg://u@h/d", "postgresql+asyncpg://u@h/d"),
    ],
)
def test_database_urls(url: str, driver: str) -> None:
    assert async_url(url) == driver


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://u:hunter2@h/d", "hunter2"])
def test_database_urls_that_are_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(SettingsError, match="MODELPORT_DATABASE_URL") as caught:
        async_url(url)
    assert "hunter2" not in str(caught.value)


def test_settings_name_each_variable_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELPORT_PORT", "99999")
    monkeypatch.setenv("MODELPORT_LOG_LEVEL", "chatty")
    with pytest.raises(SettingsError) as caught:
        load(ServiceSettings)
    assert "MODELPORT_PORT: " in str(caught.value)
    assert "MODELPORT_LOG_LEVEL: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("settings", [GatewaySettings, ModelsSettings])
def test_nothing_but_public_addresses_is_called_unless_a_setting_says_so(
    monkeypatch: pytest.MonkeyPatch, settings: type[ServiceSettings]
) -> None:
    for variable in ("MODELS", "SECRETS", "NATS", "REDIS", "GATEWAY", "DATABASE"):
        monkeypatch.setenv(f"MODELPORT_{variable}_URL", "x")
    for text in (None, "", " , "):
        if text is not None:
            monkeypatch.setenv("MODELPORT_EGRESS_ALLOW", text)
        assert load(settings).egress_allow == EgressAllow()
    monkeypatch.setenv("MODELPORT_EGRESS_ALLOW", "10.0.0.0/8, Ollama.internal,::1 ")
    assert load(settings).egress_allow == EgressAllow.parse(["10.0.0.0/8", "::1", "ollama.internal"])
    monkeypatch.setenv("MODELPORT_EGRESS_ALLOW", "10.0.0.0/8,10.0.0.1/8")
    with pytest.raises(SettingsError, match=r"^MODELPORT_EGRESS_ALLOW: .*'10\.0\.0\.1/8' is no network: .*$"):
        load(settings)


def test_logs_know_what_settings_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    class Settings(ServiceSettings):
        nats_url: str
        some_key: SecretStr

    monkeypatch.setenv("MODELPORT_NATS_URL", "nats://user:password-of-nats@here:1")
    monkeypatch.setenv("MODELPORT_SOME_KEY", "key-of-the-settings")
    load(Settings)
    assert redact_text("password-of-nats and key-of-the-settings") == "[redacted] and [redacted]"


def test_inherited_sockets_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("MODELPORT_LISTEN_FDS", f" {server.fileno()} ")
        settings: ServiceSettings = load(ServiceSettings)
        (inherited,) = settings.sockets()
        assert inherited.getsockname() == server.getsockname()
        inherited.detach()
        taken = ServiceSettings(port=server.getsockname()[1], listen_fds=[])
        with pytest.raises(SettingsError, match="set MODELPORT_HOST or MODELPORT_PORT"):
            taken.sockets()


def test_secret_files(tmp_path: Path) -> None:
    file = tmp_path / "token"
    for content, words in ((b"", "is empty"), (b" \n", "is empty"), (b"\xff\xfe\xff", "not text")):
        file.write_bytes(content)
        with pytest.raises(SettingsError, match=words):
            read_secret_file(file, "MODELPORT_X_FILE")
    file.write_text("hunter2\n")
    assert read_secret_file(file, "MODELPORT_X_FILE") == "hunter2"
    file.write_text("a-token-in-a-file\n")
    read_secret_file(file, "MODELPORT_X_FILE")
    assert redact_text("not a-token-in-a-file") == "not [redacted]", "logs know it from now on"
    with pytest.raises(SettingsError, match="MODELPORT_X_FILE: cannot read"):
        read_secret_file(tmp_path / "missing", "MODELPORT_X_FILE")
    with pytest.raises(SettingsError, match="MODELPORT_X_FILE is not set"):
        read_secret_file(None, "MODELPORT_X_FILE")


def test_callers_are_known_by_their_tokens(tmp_path: Path) -> None:
    file = tmp_path / "trust.json"
    callers = [
        {"caller": name, "scopes": scopes, "sha256": hashlib.sha256(f"token of {name}".encode()).hexdigest()}
        for name, scopes in (("gateway", ["reveal", "sync"]), ("front-door", ["api"]))
    ]
    file.write_text(json.dumps(callers))
    trusted = TrustedCallers.from_file(file)
    gateway = trusted.identify("token of gateway")
    assert gateway is not None
    assert gateway.caller == "gateway"
    assert sorted(gateway.scopes) == ["reveal", "sync"]
    for token in (None, "", "token of nobody", "ä", str(callers[0]["sha256"])):
        assert trusted.identify(token) is None


@pytest.mark.parametrize("content", [None, "", "{}", "[1]", '[{"caller":"a","scopes":["everything"],"sha256":"x"}]'])
def test_a_trust_file_that_makes_no_sense(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "trust.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match="MODELPORT_SERVICE_TRUST_FILE"):
        TrustedCallers.from_file(file)
    with pytest.raises(SettingsError, match="is not set"):
        TrustedCallers.from_file(None)

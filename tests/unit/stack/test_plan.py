import dataclasses
from ipaddress import ip_address
from pathlib import Path

import pytest
from sqlalchemy import make_url

from modelport_cli.stack.console import first_steps
from modelport_cli.stack.plan import (
    Addresses,
    Launch,
    Service,
    describe_exit,
    nats_launch,
    service_launch,
    valkey_launch,
)
from modelport_contracts.egress import EgressAllow
from modelport_kit.database.engine import async_url

ADDRESSES = Addresses(
    nats_urls={kind: f"nats://{kind}:{kind}-pw@127.0.0.1:1" for kind in ("secrets", "models", "gateway")},
    redis_url="redis://gateway:valkey-pw@127.0.0.1:2/0",
    front_port=8080,
    secrets_port=3,
    models_port=4,
)
ENVIRON = {
    "PATH": "/bin",
    "HOME": "/h",
    "NGC_API_KEY": "nvapi-x",
    "OPENAI_API_KEY": "sk-x",
    "MODELPORT_KEK": "kek-x",
    "MODELPORT_PORT": "8080",
}


def launch(kind: str, environ: dict[str, str] | None = None) -> Launch:
    service = Service(kind, Path("/d") / kind, 9, (11,), shared_fds=(12,) if kind == "gateway" else ())
    return service_launch(service, ADDRESSES, Path("/d/keys"), ENVIRON if environ is None else environ)


def test_each_service_has_its_own_token_database_and_sockets() -> None:
    secrets, models, gateway = (launch(kind).environment for kind in ("secrets", "models", "gateway"))
    assert secrets["MODELPORT_SERVICE_TOKEN_FILE"] == "/d/keys/secrets.token"
    assert secrets["MODELPORT_DATABASE_URL"] == "sqlite+aiosqlite:////d/secrets/secrets.db"
    assert models["MODELPORT_DATABASE_URL"] == "sqlite+aiosqlite:////d/models/models.db"
    assert models["MODELPORT_PORT"] == "9"
    assert models["MODELPORT_SECRETS_URL"] == "http://127.0.0.1:3"
    assert gateway["MODELPORT_PORT"] == "8080"
    assert (gateway["MODELPORT_LISTEN_FDS"], gateway["MODELPORT_SHARED_FDS"]) == ("11", "12")
    assert "MODELPORT_SHARED_FDS" not in models
    assert gateway["MODELPORT_FRONT_DOOR_TOKEN_FILE"] == "/d/keys/front-door.token"


@pytest.mark.parametrize("folder", ["/d/my%20data", "/d/a b?c#d=e&f@g:h", "/d/\u00fc"])
def test_databases_are_in_the_data_folder_whatever_its_name(folder: str) -> None:
    service = Service("models", Path(folder), 9, (11,))
    url = service_launch(service, ADDRESSES, Path("/d/keys"), ENVIRON).environment["MODELPORT_DATABASE_URL"]
    assert make_url(async_url(url)).database == f"{folder}/models.db"


@pytest.mark.parametrize("variable", ["MODELPORT_KEK_FILE", "MODELPORT_KEK", "NGC_API_KEY"])
def test_only_the_secrets_service_gets_what_is_secret(variable: str) -> None:
    assert variable in launch("secrets").environment
    assert variable not in launch("models").environment
    assert variable not in launch("gateway").environment


def test_the_servers_get_no_key_of_the_user() -> None:
    nats = nats_launch(Path("/n"), Path("/r"), Path("/s"), None, {"models": "mp_x"}, ENVIRON)
    valkey = valkey_launch(Path("/v"), Path("/r"), ENVIRON)
    assert dict(valkey.environment) == {"PATH": "/bin", "HOME": "/h"}
    assert dict(nats.environment) == {**valkey.environment, "NATS_MODELS_PASSWORD": "mp_x"}


def test_only_the_gateway_holds_the_front_door_token() -> None:
    assert "MODELPORT_FRONT_DOOR_TOKEN_FILE" not in launch("models").environment


def test_each_service_logs_in_as_itself_and_only_the_gateway_to_valkey() -> None:
    for kind in ("secrets", "models", "gateway"):
        environment = launch(kind).environment
        assert environment["MODELPORT_NATS_URL"] == f"nats://{kind}:{kind}-pw@127.0.0.1:1"
        assert ("MODELPORT_REDIS_URL" in environment) is (kind == "gateway")


def test_metrics_have_a_socket_of_their_own_and_the_gateway_tells_of_all() -> None:
    addresses = dataclasses.replace(ADDRESSES, metrics_ports={"models": 5, "gateway-2": 6})
    service = Service("gateway", Path("/d/gateway-2"), 9, (11,), shared_fds=(12,), number=2, metrics_fd=13)
    started = service_launch(service, addresses, Path("/d/keys"), ENVIRON)
    assert started.environment["MODELPORT_METRICS_FD"] == "13"
    assert started.fds == (11, 12, 13)
    told = "models=http://127.0.0.1:5/metrics,gateway-2=http://127.0.0.1:6/metrics"
    assert started.environment["MODELPORT_METRICS_URLS"] == told
    assert "MODELPORT_METRICS_URLS" not in launch("models").environment


def test_providers_may_be_on_this_machine_and_in_the_house_but_not_where_clouds_keep_metadata() -> None:
    for kind in ("models", "gateway"):
        allow = EgressAllow.parse(launch(kind).environment["MODELPORT_EGRESS_ALLOW"].split(","))
        for open_one in ("127.0.0.1", "::1", "10.0.0.1", "172.31.0.1", "192.168.0.1", "100.64.0.1", "fd12::1"):
            assert allow.refusal(ip_address(open_one), "x") is None
        for closed in ("169.254.169.254", "fe80::1", "fd00:ec2::254", "100.100.100.200", "0.0.0.0", "224.0.0.1"):
            assert allow.refusal(ip_address(closed), "x")
        for own in ("", "10.0.0.5"):
            assert launch(kind, {"MODELPORT_EGRESS_ALLOW": own}).environment["MODELPORT_EGRESS_ALLOW"] == own


def test_access_records_go_to_a_file_of_their_own_gateway() -> None:
    assert launch("gateway").environment["MODELPORT_ACCESS_LOG_FILE"].endswith("logs/modelport_gateway.access.log")
    assert "MODELPORT_ACCESS_LOG_FILE" not in launch("models").environment


def test_no_argument_and_no_repr_shows_a_secret() -> None:
    for kind in ("secrets", "models", "gateway"):
        text = repr(launch(kind)) + repr(ADDRESSES)
        assert "nvapi-x" not in text
        assert "-pw" not in text


def test_nats_chooses_a_port_once() -> None:
    paths = Path("/n"), Path("/r"), Path("/s")
    first, again = nats_launch(*paths, None, {}, {}).argv, nats_launch(*paths, 4111, {}, {}).argv
    assert first[first.index("-p") + 1] == "-1"
    assert again[again.index("-p") + 1] == "4111"


def test_how_an_exit_is_told() -> None:
    assert describe_exit(3) == "ended with status 3"
    assert describe_exit(-9) == "was ended by SIGKILL"
    assert describe_exit(-250) == "was ended by signal 250"


def test_the_first_steps_can_be_pasted() -> None:
    assert first_steps("http://127.0.0.1:8080", "/a b/nemo", 8080)[2] == "'/a b/nemo' inference get-url"
    assert "--base-url http://127.0.0.1:9 " in first_steps("http://127.0.0.1:9", "/nemo", 9)[1]

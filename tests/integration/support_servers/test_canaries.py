"""The negative control: a canary in each kind of place is found, by the same helpers that every other test uses."""

import base64
import json
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import httpx
import nats
import pytest
import redis

from modelport_testing.canaries import Hunt, Kind, Outcome, Place, canary, control, spellings
from modelport_testing.gateway_harness import BASE, Gateway, MemoryTable
from modelport_testing.postgres import PostgresServer
from modelport_testing.providers import Style
from modelport_testing.raw_client import build_request, exchange
from modelport_testing.registered import add_provider
from modelport_testing.scripted_upstream import ScriptedUpstream
from modelport_testing.servers import start_nats, start_valkey
from modelport_testing.services import start_services
from modelport_testing.stack import LocalStack
from modelport_testing.upstreams import start_upstream

SUPPORT = Path(__file__).parents[2] / "support"


@pytest.fixture
def hunting(tmp_path: Path) -> Iterator[Hunt]:
    with control(tmp_path / "control") as hunt:
        yield hunt


def found(hunt: Hunt) -> set[str]:
    assert hunt.folder is not None
    return {one["place"] for one in Outcome.read(hunt.folder, whole=False).found}


@pytest.mark.parametrize(
    "write",
    [
        str.encode,
        lambda text: text.upper().encode(),
        lambda text: text.encode().hex().encode(),
        lambda text: text.encode().hex().upper().encode(),
        lambda text: base64.b64encode(text.encode()),
        lambda text: base64.b64encode(b"x" + text.encode()),
        lambda text: base64.urlsafe_b64encode(b"xy" + text.encode() + b"z"),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-be"),
        lambda text: json.dumps({"a": [text]}).encode(),
        lambda text: "".join(f"\\u{ord(one):04x}" for one in text).encode(),
        lambda text: quote(f"k={text}&", safe="").encode(),
        lambda text: "".join(f"%{ord(one):02X}" for one in text).encode(),
    ],
)
def test_each_spelling_is_found(hunting: Hunt, write: Callable[[str], bytes]) -> None:
    hunting.content(Place.LOG, "here", b"before " + write("nothing of the kind, 0123456789abcdef") + b" after")
    assert found(hunting) == set()
    hunting.content(Place.LOG, "here", b"before " + write(canary(Kind.PROVIDER, "sk-")) + b" after")
    assert found(hunting) == {Place.LOG}


def test_a_key_of_32_bytes_is_found_in_base64_and_raw(hunting: Hunt) -> None:
    for data in (bytes.fromhex(canary(Kind.SERVICE)), base64.b64encode(hunting.marker.encode() + os.urandom(16))):
        assert any(form in data for form in spellings(hunting.marker))


async def test_nats_and_valkey(hunting: Hunt, tmp_path: Path) -> None:
    with start_nats(tmp_path / "nats") as server:
        client = await nats.connect(server.url)
        await client.jetstream().add_stream(name="plain", subjects=["plain"])
        await client.jetstream().publish("plain", f'{{"key":"{canary(Kind.PROVIDER)}"}}'.encode())
        await client.close()
    assert found(hunting) == {Place.JETSTREAM}
    with start_valkey(tmp_path / "valkey") as valkey, redis.Redis.from_url(valkey.url) as connection:
        connection.hset("rt:index", mapping={"a": 1, "b": canary(Kind.PROVIDER)})
        connection.set("rt:other", "harmless")
    assert found(hunting) == {Place.JETSTREAM, Place.VALKEY}


def test_postgresql(hunting: Hunt, postgres: PostgresServer) -> None:
    for column, value in (("text", f"'{canary(Kind.PROVIDER)}'"), ("bytea", f"'x {canary(Kind.PROVIDER)}'::bytea")):
        name = postgres.create_database("canaries")
        postgres.run(
            "psql", "-q", "-c", f"CREATE TABLE t (c {column}); INSERT INTO t VALUES ({value})", url=postgres.url(name)
        )
        assert found(hunting) == set()
        postgres.drop_database(name)
        assert found(hunting) == {Place.POSTGRESQL}
        assert hunting.folder is not None
        (hunting.folder / "found.jsonl").unlink()


def test_services_leave_logs_and_sqlite_files(hunting: Hunt, tmp_path: Path) -> None:
    folder = tmp_path / "services"
    with start_services(folder) as services:
        services.client("secrets").get(f"/nowhere/{canary(Kind.CLIENT)}")
        # In the journal beside the file: nobody has written it into the database yet.
        with closing(sqlite3.connect(folder / "models.db")) as database:
            database.execute("CREATE TABLE t (c BLOB)")
            database.execute("INSERT INTO t VALUES (?)", (b"x" + canary(Kind.PROVIDER).encode(),))
            database.commit()
    # The keys are searched for, not searched.
    assert found(hunting) == {Place.LOG, Place.SQLITE}


def test_a_local_stack_leaves_its_console_and_its_data_folder(hunting: Hunt, tmp_path: Path) -> None:
    stack = LocalStack(tmp_path / "data", tmp_path / "console.txt")
    for name in (
        "data/logs/models.log",
        "data/logs/access.log",
        "data/nats/1.blk",
        "data/keys/gateway.token",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(canary(Kind.SERVICE))
    (tmp_path / "console.txt").write_text(f"Ready {canary(Kind.PASSWORD)}")
    stack.close()
    assert found(hunting) == {Place.LOG, Place.ACCESS_LOG, Place.JETSTREAM, Place.CONSOLE}


async def test_the_gateway_under_test_its_provider_and_its_answers(hunting: Hunt) -> None:
    key = canary(Kind.CLIENT)

    async def ask(path: str, *lines: str) -> None:
        async with ScriptedUpstream(lambda _, answering: answering.send(answer)) as upstream:
            table = MemoryTable()
            add_provider(table, upstream.url, "openai")
            async with Gateway(table) as gateway:
                await exchange(gateway.url, build_request("GET", f"{BASE}/provider/openai/-/{path}", *lines))

    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    await ask("v1?key=value", f"Authorization: Bearer {key}")
    assert found(hunting) == set(), "the client's credential went nowhere"
    await ask("v1", f"X-Other: {key}")
    assert found(hunting) == {Place.RECORDING}
    await ask(f"v1/{key}")
    assert found(hunting) == {Place.RECORDING, Place.ACCESS_LOG}
    answer = b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n%b" % (len(key), key.encode())
    await ask("v1")
    assert found(hunting) == {Place.RECORDING, Place.ACCESS_LOG, Place.ANSWER}


@pytest.mark.parametrize("leak", ["", "path", "body", "another key"])
def test_a_simulated_provider_may_get_its_own_key_alone(hunting: Hunt, leak: str) -> None:
    key = canary(Kind.PROVIDER, "sk-")
    with start_upstream(Style.OPENAI, key=key) as upstream:
        given = canary(Kind.PROVIDER, "sk-") if leak == "another key" else key
        path = f"/v1/models/{key if leak == 'path' else ''}"
        body = key if leak == "body" else ""
        httpx.request("POST", upstream.url + path, headers={"authorization": f"Bearer {given}"}, content=body)
    assert found(hunting) == ({Place.RECORDING} if leak else set())


@pytest.mark.parametrize(
    ("line", "header", "kind", "leaks"),
    [
        ("GET /v1/models HTTP/1.1", "Authorization", Kind.PROVIDER, False),
        ("GET /v1/models HTTP/1.1", "Authorization", Kind.CLIENT, True),
        ("GET /v1/models HTTP/1.1", "Authorization", Kind.SERVICE, True),
        ("GET /v1/models HTTP/1.1", "X-Modelport-Service-Token", Kind.SERVICE, True),
        ("GET /apis/secrets/v2/x/access HTTP/1.1", "X-Modelport-Service-Token", Kind.SERVICE, False),
        ("GET /apis/secrets/v2/x/access HTTP/1.1", "Authorization", Kind.SERVICE, True),
        ("GET /v1/models HTTP/1.1", "Authorization", Kind.PASSWORD, True),
    ],
)
def test_what_a_recording_may_hold(hunting: Hunt, line: str, header: str, kind: Kind, leaks: bool) -> None:
    head = f"{line}\r\n{header}: Bearer {canary(kind)}\r\n\r\n"
    hunting.recording("a provider", head.encode(), b"")
    assert found(hunting) == ({Place.RECORDING} if leaks else set())


def test_log_records_of_the_own_process(hunting: Hunt) -> None:
    logging.getLogger("some.library").warning("it said %s", canary(Kind.PASSWORD))
    assert found(hunting) == {Place.RECORD}


def test_a_file_is_searched_across_its_chunks(hunting: Hunt, tmp_path: Path) -> None:
    (tmp_path / "large.log").write_bytes(b"x" * (8 * 2**20 - 20) + canary(Kind.PROVIDER).encode())
    hunting.files(tmp_path / "large.log")
    assert found(hunting) == {Place.LOG}


TESTS = """
import logging
from modelport_testing.canaries import Kind, canary

def test_one():
    logging.getLogger("one").warning("%s", canary(Kind.PROVIDER) if LEAKS else "nothing")

def test_two():
    pass
"""


@pytest.mark.parametrize(("leaks", "whole"), [(True, False), (False, True)])
def test_a_finding_in_a_worker_fails_the_run(tmp_path: Path, leaks: bool, whole: bool) -> None:
    (tmp_path / "test_it.py").write_text(TESTS.replace("LEAKS", str(leaks)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "MODELPORT_"))}
    environment |= {"PYTHONPATH": str(SUPPORT), **({"MODELPORT_CANARIES_WHOLE": "1"} if whole else {})}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "modelport_testing.canary_plugin",
        "-n",
        "1",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run([*command, "."], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert "log records of the tests' own process: 1 searched" in done.stdout
    assert ("FOUND in log records" in done.stdout) is leaks
    assert ("TOO LITTLE: nothing was searched of logs, access logs, consoles" in done.stdout) is whole
    assert done.returncode == 1

"""The test servers themselves: they answer, come back on their address, and keep or lose what they should."""

import asyncio
from pathlib import Path

import asyncpg
import nats as nats_client
import pytest
import redis.asyncio as redis

from modelport_testing.polling import eventually, eventually_sync
from modelport_testing.postgres import PostgresServer
from modelport_testing.servers import NatsServer, ValkeyServer, start_valkey


async def test_jetstream_survives_a_crash_and_a_wipe_empties_it(nats: NatsServer) -> None:
    url = nats.url
    client = await nats_client.connect(url)
    await client.jetstream().add_stream(name="S", subjects=["s.>"])
    await client.jetstream().publish("s.a", b"1")
    await client.close()

    nats.kill()
    assert not nats.alive
    nats.start()
    assert nats.url == url
    client = await nats_client.connect(url)
    assert (await client.jetstream().stream_info("S")).state.messages == 1
    await client.close()

    nats.wipe()
    client = await nats_client.connect(url)
    assert await client.jetstream().streams_info() == []
    await client.close()


async def test_valkey_never_evicts_and_a_restart_empties_it(valkey: ValkeyServer) -> None:
    client = redis.Redis.from_url(valkey.url)
    await client.set("k", "v")
    assert (await client.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
    await client.aclose()
    valkey.restart()
    client = redis.Redis.from_url(valkey.url)
    assert await client.get("k") is None
    await client.aclose()


async def test_a_paused_valkey_is_silent_and_goes_on(valkey: ValkeyServer) -> None:
    client = redis.Redis.from_url(valkey.url, socket_timeout=30)
    await client.ping()
    valkey.pause()
    asked = asyncio.ensure_future(client.ping())
    done, _ = await asyncio.wait({asked}, timeout=0.1)
    assert not done
    valkey.resume()
    assert await asked
    await client.aclose()


def test_a_paused_server_can_be_stopped(valkey: ValkeyServer) -> None:
    valkey.pause()
    valkey.stop()
    assert not valkey.alive


def test_a_given_port_that_is_taken_is_an_error(tmp_path: Path, valkey: ValkeyServer) -> None:
    with pytest.raises(AssertionError, match="did not start"):
        start_valkey(tmp_path / "second", port=valkey.port)


async def test_each_test_has_a_database_of_its_own(postgres: PostgresServer, postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
    await connection.execute("CREATE TABLE t (n int)")
    await connection.close()
    other = postgres.create_database("other")
    connection = await asyncpg.connect(postgres.url(other))
    assert await connection.fetchval("SELECT to_regclass('t')") is None
    await connection.close()
    postgres.drop_database(other)


async def test_eventually_waits_for_what_is_true_and_says_what_it_saw_last() -> None:
    values = iter([0, 0, 7])
    assert await eventually(lambda: next(values)) == 7
    assert eventually_sync(lambda: "yes") == "yes"

    async def never() -> bool:
        raise AssertionError("still red")

    with pytest.raises(AssertionError, match="still red"):
        await eventually(never, timeout=0.05)
    with pytest.raises(AssertionError, match="last seen: 0"):
        eventually_sync(lambda: 0, timeout=0.05)

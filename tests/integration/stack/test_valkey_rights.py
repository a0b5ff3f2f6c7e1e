"""What the gateway, and nobody else, may do on Valkey, on a server with the rights of both stacks."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from modelport_contracts.records import IndexEntry
from modelport_routing import Fence, GatewayWatch, Lease, NearCache, Outcome, RouteWriter, keys
from modelport_routing.fleet import GENERATION, SETTLED
from modelport_testing.polling import eventually
from modelport_testing.rights import ValkeyWithRights, password, valkey_with_rights
from modelport_testing.tables import delete, open_table, put

OWN_KEYS = (
    keys.EPOCH,
    keys.row("provider/w/x"),
    keys.index("models"),
    keys.lock("rebuild"),
    keys.seen("models"),
    keys.gateways("run"),
)
REFUSED = (
    "FLUSHALL",
    "FLUSHDB",
    "KEYS *",
    "CONFIG SET maxmemory 1",
    "CONFIG REWRITE",
    "ACL LIST",
    "ACL SETUSER other on nopass ~* +@all",
    "SHUTDOWN NOSAVE",
    "SAVE",
    "MONITOR",
    "CLIENT LIST",
    "CLIENT KILL TYPE normal",
    "REPLICAOF NO ONE",
    "SCRIPT FLUSH",
    "FUNCTION LIST",
    "MODULE LIST",
    "SWAPDB 0 1",
    "SELECT 1",
    "PUBLISH a b",
    "SUBSCRIBE a",
    "DUMP rt:epoch",
    "MIGRATE 127.0.0.1 1 rt:epoch 0 1",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyWithRights]:
    with valkey_with_rights(tmp_path_factory.mktemp("rights") / "valkey") as running:
        yield running


@pytest.fixture
async def gateway(server: ValkeyWithRights) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url, protocol=2, decode_responses=True) as client:
        yield client


async def test_nobody_but_the_gateway_is_let_in(server: ValkeyWithRights) -> None:
    strangers = [("default", ""), ("default", password("gateway")), ("gateway", password("models"))]
    strangers += [(user, password(user)) for user in ("models", "secrets", "modelport")]
    for user, secret in strangers:
        async with Redis.from_url(server.url_of(user, secret)) as client:
            with pytest.raises((AuthenticationError, ResponseError), match=r"WRONGPASS|invalid username|NOAUTH"):
                await client.ping()
    async with Redis.from_url(f"redis://127.0.0.1:{server.port}/0", protocol=2) as client:
        for command in ("PING", "GET rt:epoch", "INFO"):
            with pytest.raises(AuthenticationError):
                await client.execute_command(*command.split())  # type: ignore[no-untyped-call]


async def test_the_gateway_writes_its_own_keys_and_no_others(gateway: Redis) -> None:
    for name in OWN_KEYS:
        await gateway.set(name, "1")
        await gateway.delete(name)
    for name in ("r", "rt", "other", "lock:other", "seen:other", "gateway:x"):
        for write in (gateway.set(name, "1"), gateway.get(name), gateway.hset(name, "a", "b"), gateway.delete(name)):
            with pytest.raises(NoPermissionError):
                await write
        with pytest.raises(RedisError, match=r"(?i)permission"):
            await gateway.eval("return redis.call('SET', KEYS[1], '1')", 1, name)
        with pytest.raises(RedisError, match=r"(?i)ACL|permission"):
            await gateway.eval(f"return redis.call('SET', '{name}', '1')", 0)


@pytest.mark.parametrize("command", REFUSED)
async def test_what_no_gateway_needs_is_refused(gateway: Redis, command: str) -> None:
    with pytest.raises(NoPermissionError):
        await gateway.execute_command(*command.split())  # type: ignore[no-untyped-call]


async def test_what_a_script_may_not_do_is_refused_inside_it_too(gateway: Redis) -> None:
    with pytest.raises(RedisError, match=r"(?i)ACL|permission"):
        await gateway.eval("return redis.call('FLUSHALL')", 0)


async def test_with_these_rights_the_table_works(server: ValkeyWithRights, gateway: Redis) -> None:
    kept, removed = "provider/w/kept", "provider/w/removed"
    models = IndexEntry(index="models", field="w/x", value="kept")
    async with RouteWriter(server.url) as writer, NearCache(server.url) as cache:
        fence = Fence(cache, Lease(), gateway_id="g")
        async with GatewayWatch(server.url, boot_id=fence.boot_id) as watch:
            assert await writer.check_server() == []
            assert await writer.try_lock("rights", 5)
            await writer.extend_lock("rights", 5)
            await writer.unlock("rights")

            epoch = await open_table(writer)
            snapshot = [put(kept, 1, index=[models]), put(removed, 2), put("provider/w/unnamed", 2)]
            outcomes = await writer.apply_snapshot(snapshot, epoch=epoch, snapshot_revision=2)
            assert outcomes == [Outcome.APPLIED] * 3
            assert await writer.apply(delete(removed, 3)) is Outcome.APPLIED
            assert {kept, removed} <= {key async for key in writer.keys_of("models")}
            outcome = await writer.remove_missing(
                "provider/w/unnamed", epoch=epoch, source="models", incarnation="one", snapshot_revision=3
            )
            assert outcome is Outcome.APPLIED
            assert await writer.finish(epoch, "models", "one", 4, complete=True) is Outcome.APPLIED
            assert await gateway.get(keys.row(removed)) is None, "its tombstone was swept"

            assert (await cache.get(kept)).payload is not None
            assert await cache.index("models", "models") == {"w/x": "kept"}
            await eventually(lambda: fence.has_joined, 10)
            # what a gateway that was killed leaves behind is removed by script
            roster = keys.gateways(cache.run_id)
            await gateway.hset(roster, SETTLED, await gateway.hget(roster, GENERATION))
            await eventually(lambda: watch.fleet.is_settled, 10)
            assert (await watch.applied(kept, 1, wait_s=10))[1]
            await fence.leave()
            assert await gateway.hget(roster, fence.boot_id) is None

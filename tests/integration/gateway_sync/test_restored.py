"""A source that went back to a backup while the table stayed: it heals, whoever notices (docs/propagation.md, 2)."""

from redis.asyncio import Redis

from modelport_routing import keys
from modelport_testing.polling import eventually
from modelport_testing.syncing import Sources, StartGateway

OLD, CHANGED, LATER, REMOVED = (f"provider/default/{name}" for name in ("old", "changed", "later.one", "removed"))


async def test_the_table_tells_where_nothing_else_does(
    sources: Sources, start_gateway: StartGateway, redis: Redis
) -> None:
    """No bus here: the gateway finds out when it next asks what changed."""
    models = sources.models
    await models.put(OLD, CHANGED, REMOVED)
    backup = await models.backup()
    await models.remove(REMOVED)
    await models.put(CHANGED, text="lost again")
    await models.put(LATER)
    async with start_gateway() as gateway:
        await gateway.whole()
        truth = await sources.truth()
        await eventually(lambda: gateway.shows(truth))
        epoch = gateway.cache.epoch
        await models.restore(backup)
        assert (await models.put(LATER, text="of a second life")) == 2, "as a revision that is known as another's"
        await eventually(lambda: redis.delete(keys.lock("catch-up:models")))
        gateway.sync.reconcilers["models"].wake()
        await eventually(lambda: gateway.cache.epoch not in {None, epoch}, 15)
        await gateway.whole(15)
        assert await gateway.shows(await sources.truth())
        assert (await models.put(OLD, text="goes on")) == 5


async def test_the_table_does_not_forget_by_being_begun_anew(
    sources: Sources, start_gateway: StartGateway, redis: Redis
) -> None:
    models = sources.models
    await models.put(OLD)
    backup = await models.backup()
    await models.put(CHANGED)
    async with start_gateway() as gateway:
        await gateway.whole()
        epoch = gateway.cache.epoch
        await models.restore(backup)
        await redis.delete(keys.EPOCH)
        await eventually(lambda: gateway.cache.epoch not in {None, epoch}, 15)
        await gateway.whole(15)
        assert await gateway.shows(await sources.truth())
        assert await gateway.lacks(CHANGED)
        assert await models.put(CHANGED) == 3

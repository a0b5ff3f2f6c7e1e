"""What discovery claims and stores (docs/propagation.md, rules 25 and 26)."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import event, func, select, text, update

from modelport_contracts.resources.providers import (
    Provider,
    ProviderCreate,
    ProviderStatus,
    ProviderStatusUpdate,
    ProviderUpdate,
    ServedModel,
)
from modelport_kit.database.changes import current_revision
from modelport_kit.database.engine import Database
from modelport_kit.database.tables import OUTBOX
from modelport_models.domain.verdict import ProbeState
from modelport_models.store import Stores
from modelport_models.store.common import CHUNK
from modelport_models.store.probes import DueProvider, ProbeResult
from modelport_models.store.providers import STATUS_STAYS_S
from modelport_models.tables import PROVIDER
from modelport_testing.polling import eventually

Open = Callable[[], tuple[Stores, Database]]
READY = ProbeState(ProviderStatus.READY, "", 0, None)


async def register(stores: Stores, name: str, **members: Any) -> Provider:
    body = ProviderCreate.model_validate({"name": name, "host_url": "https://models.example", **members})
    return (await stores.providers.create("default", body))[0]


async def claim(stores: Stores, now: float = 100.0) -> dict[str, DueProvider]:
    return {due.name: due for due in await stores.probes.claim_due(now, 60, 100)}


def result(due: DueProvider, entities: Mapping[str, str] | None = None, state: ProbeState = READY) -> ProbeResult:
    return ProbeResult(due, state, entities, 400.0)


async def revision_of(database: Database) -> int:
    async with database.read() as connection:
        return (await current_revision(connection))[1]


async def newest_record(database: Database, key: str) -> dict[str, Any] | None:
    """What the newest change of a key says; None for a removal."""
    statement = select(OUTBOX).where(OUTBOX.c.key == key).order_by(OUTBOX.c.revision.desc()).limit(1)
    async with database.read() as connection:
        row = (await connection.execute(statement)).one()
    return json.loads(row.payload) if row.operation == "put" else None


async def test_what_is_due_is_claimed_once(stores: Stores) -> None:
    await register(stores, "openai", enabled_models=["a"], api_key_secret_name="key")
    due = await claim(stores)
    assert set(due) == {"openai", "nvidia-build"}
    one = due["openai"]
    assert (one.generation, one.enabled_models, one.secret) == (1, ["a"], "default/key")
    assert one.revision == (await stores.providers.get("default", "openai"))[1]
    assert await claim(stores, 159) == {}
    assert set(await claim(stores, 160)) == {"openai", "nvidia-build"}, "a claim runs out"
    assert await stores.probes.store([result(one)]) == 1
    assert "openai" not in await claim(stores, 399)
    assert "openai" in await claim(stores, 400)


async def test_two_replicas_claim_different_providers(open_stores: Open) -> None:
    stores, _ = open_stores()
    for number in range(40):
        await register(stores, f"provider-{number}")
    replicas = [open_stores()[0] for _ in range(4)]
    claims = await asyncio.gather(*(replica.probes.claim_due(100, 60, 15) for replica in replicas))
    names = [due.name for due_of_one in claims for due in due_of_one]
    assert len(names) == len(set(names))
    names += [due.name for due in await stores.probes.claim_due(100, 60, 100)]
    assert sorted(names) == sorted([*(f"provider-{number}" for number in range(40)), "nvidia-build"])


async def test_a_claim_lasts_while_it_is_renewed(stores: Stores) -> None:
    await register(stores, "openai")
    due = (await claim(stores))["openai"]
    await stores.probes.renew_claims(150, 60, [(due.id, due.generation), ("nobody", 1)])
    assert "openai" not in await claim(stores, 209)
    assert "openai" in await claim(stores, 210)
    await stores.probes.renew_claims(270, 60, [(due.id, due.generation + 1)])
    assert "openai" in await claim(stores, 270), "a probe of another generation renews nothing"


async def test_renewing_waits_for_no_row(open_postgres_stores: Open) -> None:
    """It holds some rows while it takes others; so may whoever changes them, in another order."""
    stores, database = open_postgres_stores()
    await register(stores, "openai")
    due = await claim(stores)
    async with database.write() as write:
        await write.execute(update(PROVIDER).where(PROVIDER.c.name == "openai").values(description="being changed"))
        async with asyncio.timeout(5):
            await stores.probes.renew_claims(150, 60, [(one.id, one.generation) for one in due.values()])
    assert set(await claim(stores, 170)) == {"openai"}, "the other one is renewed"


async def test_a_clock_that_is_set_back_delays_no_probe(stores: Stores) -> None:
    """Neither what is planned nor what is claimed for later than anybody plans or claims."""
    await register(stores, "openai")
    due = await stores.probes.claim_due(10_000, 60, 100)
    one = next(provider for provider in due if provider.name == "openai")
    assert await stores.probes.claim_due(9_990, 60, 100) == [], "a claim of now, as a slightly slower clock sees it"
    assert {again.name for again in await stores.probes.claim_due(6_400, 60, 100)} == {"openai", "nvidia-build"}
    await stores.probes.store([ProbeResult(one, READY, None, 10_300.0)])
    assert "openai" not in {again.name for again in await stores.probes.claim_due(9_900, 60, 100, horizon_s=600)}
    assert "openai" in {again.name for again in await stores.probes.claim_due(6_400, 60, 100, horizon_s=600)}


async def test_the_most_overdue_come_first(stores: Stores) -> None:
    for name in ("aa", "bb"):
        await register(stores, name)
    due = await claim(stores)
    await stores.probes.store([ProbeResult(due["aa"], READY, None, 300.0), ProbeResult(due["bb"], READY, None, 200.0)])
    (first,) = await stores.probes.claim_due(301, 60, 1)
    assert first.name in {"bb", "nvidia-build"}


async def test_a_listing_makes_models_and_virtual_models(open_stores: Open) -> None:
    stores, database = open_stores()
    await register(stores, "openai")
    due = (await claim(stores))["openai"]
    assert await stores.probes.store([result(due, {"gpt-4": "gpt-4", "claude-3": "claude-3"})]) == 1
    provider, _ = await stores.providers.get("default", "openai")
    assert provider.status is ProviderStatus.READY
    assert [(one.model_entity_id, one.served_model_name) for one in provider.served_models] == [
        ("default/claude-3", "claude-3"),
        ("default/gpt-4", "gpt-4"),
    ]
    assert (await stores.models.get("default", "claude-3"))[0].backend_format == "ANTHROPIC_MESSAGES"
    model, _ = await stores.models.get("default", "gpt-4")
    assert (model.backend_format, model.model_providers) == (None, ["default/openai"])
    virtual_model, _ = await stores.virtual_models.get("default", "gpt-4")
    assert virtual_model.autoprovisioned
    record = await newest_record(database, "model/default/gpt-4")
    assert record is not None
    assert record["served_by"] == [{"provider": "default/openai", "served_id": "gpt-4"}]


async def test_a_result_that_changes_nothing_takes_no_revision(open_stores: Open) -> None:
    stores, database = open_stores()
    await register(stores, "openai")
    await stores.probes.store([result((await claim(stores))["openai"], {"gpt-4": "gpt-4"})])
    before = await revision_of(database)
    updated_at = (await stores.providers.get("default", "openai"))[0].updated_at
    due = (await claim(stores, 400))["openai"]
    assert await stores.probes.store([ProbeResult(due, READY, {"gpt-4": "gpt-4"}, 700.0)]) == 0
    assert await revision_of(database) == before
    assert (await stores.providers.get("default", "openai"))[0].updated_at == updated_at
    assert "openai" not in await claim(stores, 699)


async def test_a_message_alone_is_shown_but_not_published(open_stores: Open) -> None:
    stores, database = open_stores()
    await register(stores, "openai")
    await stores.probes.store([result((await claim(stores))["openai"])])
    before = await revision_of(database)
    due = (await claim(stores, 400))["openai"]
    telling = ProbeState(ProviderStatus.READY, "serving on", 1, 400.0)
    assert await stores.probes.store([result(due, state=telling)]) == 1
    assert (await stores.providers.get("default", "openai"))[0].status_message == "serving on"
    assert await revision_of(database) == before


async def test_a_result_counts_only_for_what_was_probed(open_stores: Open) -> None:
    stores, database = open_stores()
    await register(stores, "changed")
    await register(stores, "deleted")
    await register(stores, "rotated", api_key_secret_name="key")
    due = await claim(stores)
    await stores.providers.replace(
        "default", "changed", ProviderUpdate.model_validate({"host_url": "https://new.example"})
    )
    await stores.providers.delete("default", "deleted")
    await register(stores, "deleted")
    assert await stores.probes.probe_soon("default", "key") == 1
    assert await stores.probes.probe_soon("default", "other") == 0
    before = await revision_of(database)
    assert (
        await stores.probes.store([result(one, {"x1": "x1"}) for one in due.values() if one.workspace == "default"])
        == 0
    )
    assert await revision_of(database) == before
    again = await claim(stores)
    assert set(again) == {"changed", "deleted", "rotated"}, "all three are due at once, claim or not"
    assert (again["changed"].generation, again["rotated"].generation) == (2, 2)


async def test_a_change_of_a_ca_probes_whom_it_speaks_of(stores: Stores) -> None:
    await register(stores, "pinned", options={"ca_secret_name": "ca", "max_concurrency": 2})
    await register(stores, "other", options={"max_concurrency": 2})
    await claim(stores)
    assert await stores.probes.probe_soon("default", "ca") == 1
    assert set(await claim(stores)) == {"pinned"}


async def test_a_probe_that_said_nothing_changes_only_when_to_ask_again(stores: Stores) -> None:
    """A status that is set while such a probe is under way stays, and so does its message."""
    await register(stores, "openai")
    due = (await claim(stores))["openai"]
    body = ProviderStatusUpdate(status=ProviderStatus.READY, status_message="fine")
    await stores.providers.set_status("default", "openai", body)
    assert await stores.probes.store([ProbeResult(due, None, None, 300.0)]) == 0
    again = (await claim(stores, time.time() + 60))["openai"]
    assert await stores.probes.store([ProbeResult(again, None, None, 300.0)]) == 0
    provider, _ = await stores.providers.get("default", "openai")
    assert (provider.status, provider.status_message) == (ProviderStatus.READY, "fine")
    assert "openai" not in await claim(stores, 299)
    assert "openai" in await claim(stores, 300)


async def test_a_probe_does_not_undo_a_status_set_meanwhile(stores: Stores) -> None:
    await register(stores, "openai")
    due = (await claim(stores))["openai"]
    body = ProviderStatusUpdate(status=ProviderStatus.ERROR, status_message="taken out by hand")
    await stores.providers.set_status("default", "openai", body)
    assert await stores.probes.store([result(due, {"gpt-4": "gpt-4"})]) == 0
    provider, _ = await stores.providers.get("default", "openai")
    assert (provider.status, provider.status_message) == (ProviderStatus.ERROR, "taken out by hand")
    assert "openai" not in await claim(stores, time.time() + STATUS_STAYS_S - 3)
    assert "openai" in await claim(stores, time.time() + STATUS_STAYS_S), "it is asked again soon, claim or not"


async def test_a_status_set_late_in_a_second_stays_as_long(open_stores: Open) -> None:
    _, database = open_stores()
    stores = Stores(database, lambda: datetime(2026, 1, 1, 10, 0, 0, 900_000))
    await register(stores, "openai")
    moment = datetime(2026, 1, 1, 10, 0, 0, 900_000, tzinfo=UTC).timestamp()
    await stores.providers.set_status("default", "openai", ProviderStatusUpdate(status=ProviderStatus.LOST))
    assert "openai" not in await claim(stores, moment + STATUS_STAYS_S - 0.1)
    assert "openai" in await claim(stores, moment + STATUS_STAYS_S)


async def test_what_is_listed_no_longer_goes(open_stores: Open) -> None:
    stores, database = open_stores()
    for name in ("one", "two"):
        await register(stores, name)
    due = await claim(stores)
    await stores.probes.store([result(due["one"], {"aa": "aa", "bb": "bb"}), result(due["two"], {"bb": "bb"})])
    due = await claim(stores, 400)
    await stores.probes.store([result(due["one"], {})])
    assert await newest_record(database, "model/default/aa") is None
    assert await newest_record(database, "virtual-model/default/aa") is None
    still = await newest_record(database, "model/default/bb")
    assert still is not None
    assert [one["provider"] for one in still["served_by"]] == ["default/two"]


async def test_a_thousand_models_in_one_transaction(open_stores: Open) -> None:
    stores, database = open_stores()
    await register(stores, "huge")
    before = await revision_of(database)
    due = (await claim(stores))["huge"]
    sizes: list[int] = []

    def executing(*arguments: Any) -> None:
        parameters = arguments[3]  # of one statement, or a list of those of several
        sizes.append(sum(map(len, parameters)) if isinstance(parameters, list) else len(parameters))

    event.listen(database.engine.sync_engine, "before_cursor_execute", executing)
    await stores.probes.store([result(due, {f"model-{number}": f"model-{number}" for number in range(1000)})])
    assert max(sizes) <= 10 * CHUNK, "in parts, so that it does not occupy the event loop"
    assert await revision_of(database) == before + 1
    async with database.read() as connection:
        rows = select(func.count()).select_from(OUTBOX).where(OUTBOX.c.revision == before + 1)
        assert (await connection.execute(rows)).scalar_one() == 2001


async def test_writers_of_one_entity_do_not_lose_each_other(open_stores: Open) -> None:
    """Providers that come to serve one model at the same moment all end up in its record, and none fails."""
    replicas = [open_stores()[0] for _ in range(6)]
    stores, database = open_stores()
    for number in range(len(replicas)):
        await register(stores, f"provider-{number}")
    served = [ServedModel(model_entity_id="default/shared", served_model_name="shared")]
    for _ in range(3):
        for names in (served, []):
            body = ProviderStatusUpdate(served_models=names)
            await asyncio.gather(
                *(
                    replica.providers.set_status("default", f"provider-{number}", body)
                    for number, replica in enumerate(replicas)
                )
            )
            record = await newest_record(database, "model/default/shared")
            if names:
                assert record is not None
                assert [one["provider"] for one in record["served_by"]] == [
                    f"default/provider-{number}" for number in range(len(replicas))
                ]
            else:
                assert record is None


async def test_a_probe_never_publishes_what_a_change_replaced(open_postgres_stores: Open) -> None:
    """A result that is stored while the provider is being changed must not bring the old address back."""
    stores, database = open_postgres_stores()
    other, _ = open_postgres_stores()
    await register(stores, "openai")
    due = (await claim(stores))["openai"]

    async def waiting(count: int) -> None:
        async def blocked() -> bool:
            async with database.read() as connection:
                statement = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
                return bool((await connection.execute(statement)).scalar_one() == count)

        await eventually(blocked)

    body = ProviderUpdate.model_validate({"host_url": "https://new.example"})
    async with database.write() as write:
        await write.execute(select(PROVIDER).where(PROVIDER.c.name == "openai").with_for_update())
        changing = asyncio.create_task(other.providers.replace("default", "openai", body))
        await waiting(1)
        storing = asyncio.create_task(stores.probes.store([result(due)]))
        await waiting(2)
    await asyncio.gather(changing, storing)
    record = await newest_record(database, "provider/default/openai")
    assert record is not None
    assert (record["host_url"], record["status"]) == ("https://new.example", "CREATED")


async def test_replicas_that_start_at_once_make_one_built_in_provider(open_stores: Open) -> None:
    replicas = [open_stores()[0] for _ in range(4)]
    await asyncio.gather(*(replica.workspaces.ensure_built_in() for replica in replicas))
    assert set(await claim(replicas[0])) == {"nvidia-build"}

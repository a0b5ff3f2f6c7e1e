from collections.abc import Iterator

import pytest

from modelport_contracts.records import (
    ModelRecord,
    ProviderRecord,
    ServedBy,
    TargetRecord,
    VirtualModelRecord,
    vendor_index,
)
from modelport_gateway.errors import BehindError, NoProviderError, NotFoundError
from modelport_gateway.parse.path import RouteKind, RouteName
from modelport_gateway.pick.choice import Choice, choose
from modelport_gateway.prepare.target import Target
from modelport_gateway.route.compiled import target_keys
from modelport_gateway.route.lookup import Gathered, Known, UnknownHereError
from modelport_gateway.route.resolve import find_target, min_revision
from modelport_testing.gateway_harness import MemoryTable

LOOP = b"CDN-Loop: modelport-x"


def put_provider(table: MemoryTable, name: str, status: str = "READY", revision: int = 1) -> None:
    record = ProviderRecord(id=name, workspace="ws", name=name, host_url="http://h", status=status, generation=1)
    table.put(f"provider/ws/{name}", record.payload(), revision)


def put_model(table: MemoryTable, name: str, *providers: str) -> None:
    by = tuple(ServedBy(provider=f"ws/{provider}", served_id=f"id of {name} at {provider}") for provider in providers)
    table.put(f"model/ws/{name}", ModelRecord(workspace="ws", name=name, served_by=by).payload())


def virtual(default: str | None = None, *targets: tuple[str, int]) -> VirtualModelRecord:
    models = tuple(TargetRecord(model=model, priority=priority) for model, priority in targets)
    return VirtualModelRecord(workspace="ws", name="vv", created=1, default_model_entity=default, models=models)


@pytest.fixture
def table() -> MemoryTable:
    table = MemoryTable()
    put_provider(table, "one")
    put_provider(table, "two")
    put_model(table, "mm", "one", "two")
    table.put("virtual-model/ws/vv", virtual("ws/mm").payload())
    return table


def find(table: MemoryTable, model: str | None = None, name: str = "vv") -> tuple[str, str]:
    kind = RouteKind.MODEL if model is None else RouteKind.OPENAI
    target, served = find_target(Known(table), RouteName(kind, "ws", name, b""), model, LOOP)
    assert served is not None
    return target.name, served.decode()


def test_the_order_of_targets() -> None:
    assert target_keys(virtual("other/dd", ("aa", 0))) == ("model/other/dd",)
    assert target_keys(virtual(None, ("aa", 5), ("ws/bb", 0), ("cc", 5))) == (
        "model/ws/bb",
        "model/ws/aa",
        "model/ws/cc",
    )
    assert target_keys(virtual(None)) == ()


def test_the_first_ready_one(table: MemoryTable) -> None:
    assert find(table) == ("one", '"id of mm at one"')
    put_provider(table, "one", "LOST")
    assert find(table) == ("two", '"id of mm at two"')
    put_provider(table, "two", "ERROR")
    assert find(table)[0] == "one"
    table.remove("provider/ws/one")
    assert find(table)[0] == "two"


def test_choosing_looks_no_further_than_needed() -> None:
    def choices() -> Iterator[Choice]:
        record = ProviderRecord(id="p", workspace="ws", name="pp", host_url="http://h", status="READY", generation=1)
        yield Choice(Target(record, LOOP), b"")
        raise AssertionError("asked for a second one")

    assert choose(choices()) is not None
    assert choose(iter(())) is None


def test_what_a_model_may_be_called(table: MemoryTable) -> None:
    table.indexes[vendor_index("ws", "meta/llama")] = {"mm": ""}
    table.indexes[vendor_index("ws", "GPT-4.1")] = {"mm": ""}
    table.indexes[vendor_index("other", "their/own")] = {"mm": ""}
    for model in ("vv", "ws/vv", "meta/llama", "ws/meta/llama", "GPT-4.1"):
        assert find(table, model)[0] == "one"
    for model in ("other/vv", "their/own", "ws/ws/vv", "", "vv/", "/vv", "mm"):
        with pytest.raises(NotFoundError):
            find(table, model)
    table.indexes[vendor_index("ws", "meta/llama")]["nn"] = ""
    with pytest.raises(NotFoundError, match="mm, nn"):
        find(table, "meta/llama")


def test_nobody_serves_it(table: MemoryTable) -> None:
    table.remove("provider/ws/one")
    table.remove("provider/ws/two")
    table.put("virtual-model/ws/vv", virtual(None, ("mm", 0), ("other/gone", 1)).payload())
    for model, called in ((None, "'vv'"), ("ws/vv", "'ws/vv'")):
        with pytest.raises(NoProviderError) as caught:
            find(table, model)
        assert caught.value.error_code == "no_provider"
        assert caught.value.message.startswith(
            f"model {called} of workspace ws has no provider at the moment: ws/mm has no provider, "
            "other/gone does not exist; register a provider that serves it, or name other targets (PATCH /apis/"
        )
    with pytest.raises(NotFoundError):
        find(table, name="ww")


def test_a_target_served_by_a_vendors_id_alone_loses_its_provider(table: MemoryTable) -> None:
    table.indexes[vendor_index("ws", "meta/llama")] = {"mm": ""}
    put_model(table, "mm")
    with pytest.raises(NoProviderError, match=r"model 'meta/llama' .* ws/mm has no provider"):
        find(table, "meta/llama")


def test_no_target_at_all_and_very_many(table: MemoryTable) -> None:
    table.put("virtual-model/ws/vv", virtual().payload())
    with pytest.raises(NoProviderError, match="'vv' of workspace ws names no target; give it a default_") as caught:
        find(table)
    assert caught.value.error_code == "no_target"
    table.put("virtual-model/ws/vv", virtual(None, *((f"gone-{number}", 0) for number in range(9))).payload())
    with pytest.raises(NoProviderError, match="ws/gone-4 does not exist and 4 more; "):
        find(table)


def test_a_provider_and_its_revision(table: MemoryTable) -> None:
    route = RouteName(RouteKind.PROVIDER, "ws", "one", b"")
    assert find_target(Known(table), route, None, LOOP, 1)[1] is None
    with pytest.raises(BehindError):
        find_target(Known(table), route, None, LOOP, 2)
    table.remove("provider/ws/one", 2)
    with pytest.raises(NotFoundError):
        find_target(Known(table), route, None, LOOP, 2)
    assert min_revision(None) == 0
    assert min_revision(b"models.12") == 12
    for bad in (b"secrets.12", b"12", b"models.", b"models.-1", b"models.1 "):
        assert min_revision(bad) is None


async def test_what_is_not_known_is_asked_for_once(table: MemoryTable) -> None:
    table.hides = True
    route = RouteName(RouteKind.MODEL, "ws", "vv", b"")
    with pytest.raises(UnknownHereError):
        find_target(Known(table), route, None, LOOP)
    gathered = Gathered(table)
    while True:
        try:
            target, _ = find_target(gathered, route, None, LOOP)
        except UnknownHereError as unknown:
            await gathered.ask(unknown)
        else:
            break
    assert target.name == "one"
    assert table.asked == ["virtual-model/ws/vv", "model/ws/mm", "provider/ws/one"]


def test_compiled_records_live_as_long_as_their_entry(table: MemoryTable) -> None:
    find(table)
    before = table.records["provider/ws/one"].compiled
    find(table)
    assert table.records["provider/ws/one"].compiled is before
    put_provider(table, "one")
    find(table)
    assert table.records["provider/ws/one"].compiled is not before


async def test_a_vendor_s_id_is_found_without_asking_where_its_index_is_known(table: MemoryTable) -> None:
    table.indexes[vendor_index("ws", "meta/llama")] = {"mm": ""}
    assert find(table, "meta/llama")[0] == "one"
    assert table.asked == []
    table.hides = True
    with pytest.raises(UnknownHereError):
        find(table, "meta/llama")


def test_an_id_longer_than_any_that_is_served_is_never_looked_up(table: MemoryTable) -> None:
    table.hides = True  # any look-up would be an UnknownHereError
    with pytest.raises(NotFoundError) as caught:
        find(table, "x" * 1_000_000)
    assert len(str(caught.value)) < 400
    with pytest.raises(UnknownHereError):
        find(table, "ws/" + "x" * 512)

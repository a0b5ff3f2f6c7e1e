"""Keeping model entities and their virtual models in step with what providers serve."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import and_, delete, insert, select, update

from modelport_contracts.names import new_id
from modelport_contracts.records import record_key
from modelport_kit.database.write import WriteTransaction
from modelport_models.domain.records import as_many_as_fit, model_record, virtual_model_record
from modelport_models.domain.served import infer_backend_format
from modelport_models.store.common import all_rows, chunks, is_among, served_by
from modelport_models.tables import MODEL, PROVIDER, SERVED, VIRTUAL_MODEL


async def replace_served(
    write: WriteTransaction, provider_id: str, workspace: str, entities: Mapping[str, str], moment: datetime
) -> bool:
    """Make a provider serve exactly `entities` (id to entity name); says whether anything changed."""
    statement = select(SERVED.c.served_id, SERVED.c.entity).where(SERVED.c.provider_id == provider_id)
    current: dict[str, str] = {row.served_id: row.entity for row in await write.execute(statement)}
    gone = [served_id for served_id, entity in current.items() if entities.get(served_id) != entity]
    new = [served_id for served_id, entity in entities.items() if current.get(served_id) != entity]
    if not gone and not new:
        return False
    for chunk in chunks(gone):
        await write.execute(delete(SERVED).where(SERVED.c.provider_id == provider_id, SERVED.c.served_id.in_(chunk)))
    if new:
        rows = [
            {"provider_id": provider_id, "served_id": item, "workspace": workspace, "entity": entities[item]}
            for item in new
        ]
        for part in chunks(rows):
            await write.execute(insert(SERVED), part)
    affected = {current[item] for item in gone} | {entities[item] for item in new}
    await follow(write, workspace, affected, moment)
    return True


async def follow(write: WriteTransaction, workspace: str, names: Iterable[str], moment: datetime) -> None:
    """Bring model entities and autoprovisioned virtual models of these names in step with who serves them."""
    for chunk in chunks(sorted(names)):
        serving = await served_by(write.connection, ((workspace, name) for name in chunk))
        served = {name: serving[workspace, name] for name in chunk if (workspace, name) in serving}
        await _mark_left_out(write, workspace, chunk, served)
        await _follow_models(write, workspace, chunk, served, moment)
        await _follow_virtual_models(write, workspace, chunk, served, moment)


async def _mark_left_out(
    write: WriteTransaction, workspace: str, names: Sequence[str], served: Mapping[str, list[tuple[str, str]]]
) -> None:
    """Note which ids have no room in their entity's record: the provider's status_message tells of them."""
    ours = and_(SERVED.c.workspace == workspace, SERVED.c.entity.in_(names))
    await write.execute(update(SERVED).where(ours, SERVED.c.left_out).values(left_out=False))
    left_out = [
        pair for serving in served.values() for pair in set(serving).difference(as_many_as_fit(workspace, serving))
    ]
    if not left_out:
        return
    ids: dict[str, str] = {}
    for chunk in chunks({provider for provider, _ in left_out}):
        statement = select(PROVIDER.c.name, PROVIDER.c.id).where(
            PROVIDER.c.workspace == workspace, PROVIDER.c.name.in_(chunk)
        )
        ids |= {row.name: row.id for row in await write.execute(statement)}
    for part in chunks([(ids[provider], served_id) for provider, served_id in left_out]):
        these = is_among(SERVED.c.provider_id, SERVED.c.served_id, part)
        await write.execute(update(SERVED).where(these).values(left_out=True))


async def _follow_models(
    write: WriteTransaction,
    workspace: str,
    names: Iterable[str],
    served: Mapping[str, list[tuple[str, str]]],
    moment: datetime,
) -> None:
    statement = select(MODEL).where(MODEL.c.workspace == workspace, MODEL.c.name.in_(list(names)))
    rows = {row["name"]: row for row in all_rows(await write.execute(statement))}
    missing = [
        {
            "id": new_id("model"),
            "workspace": workspace,
            "name": name,
            "backend_format": infer_backend_format(serving[0][1]),
            "discovered": True,
            "created_at": moment,
            "updated_at": moment,
        }
        for name, serving in served.items()
        if name not in rows
    ]
    if missing:
        await write.execute(insert(MODEL), missing)
    for new in missing:
        write.put(record_key("model", workspace, str(new["name"])), *model_record(new, served[str(new["name"])]),
                  row=(MODEL, str(new["id"])))  # fmt: skip
    unserved = []
    for name, row in rows.items():
        if name not in served and row["discovered"]:
            unserved.append(row["id"])
            write.delete(record_key("model", workspace, name))
        else:
            rendered = model_record(row, served.get(name, ()))
            write.put(record_key("model", workspace, name), *rendered, row=(MODEL, row["id"]))
    if unserved:
        await write.execute(delete(MODEL).where(MODEL.c.id.in_(unserved)))


async def _follow_virtual_models(
    write: WriteTransaction,
    workspace: str,
    names: Iterable[str],
    served: Mapping[str, list[tuple[str, str]]],
    moment: datetime,
) -> None:
    statement = select(VIRTUAL_MODEL.c.id, VIRTUAL_MODEL.c.name, VIRTUAL_MODEL.c.autoprovisioned).where(
        VIRTUAL_MODEL.c.workspace == workspace, VIRTUAL_MODEL.c.name.in_(list(names))
    )
    rows = {row.name: row for row in await write.execute(statement)}
    missing = [
        {
            "id": new_id("virtual-model"),
            "workspace": workspace,
            "name": name,
            "default_model_entity": f"{workspace}/{name}",
            "models": [{"model": f"{workspace}/{name}"}],
            "options": None,
            "autoprovisioned": True,
            "created_at": moment,
            "updated_at": moment,
        }
        for name in served
        if name not in rows
    ]
    if missing:
        await write.execute(insert(VIRTUAL_MODEL), missing)
    for new in missing:
        key = record_key("virtual-model", workspace, str(new["name"]))
        write.put(key, *virtual_model_record(new), row=(VIRTUAL_MODEL, str(new["id"])))
    unserved = [row for name, row in rows.items() if name not in served and row.autoprovisioned]
    for row in unserved:
        write.delete(record_key("virtual-model", workspace, row.name))
    if unserved:
        await write.execute(delete(VIRTUAL_MODEL).where(VIRTUAL_MODEL.c.id.in_([row.id for row in unserved])))

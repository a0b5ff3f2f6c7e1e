"""What the stores share."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, Table, and_, or_, select, tuple_
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncConnection

from modelport_contracts.names import ANY_WORKSPACE
from modelport_kit.errors import NotFoundError
from modelport_models.tables import PROVIDER, SERVED, WORKSPACE

Item = TypeVar("Item")
Row = dict[str, Any]
"""A row as plain data, for the functions of modelport_models.domain."""
Serving = dict[tuple[str, str], list[tuple[str, str]]]
"""By (workspace, entity) who serves it: (provider's name, served id)."""
CHUNK = 250
"""Names or rows in one statement: the making of a large one occupies the event loop."""


def chunks(items: Iterable[Item]) -> Iterator[Sequence[Item]]:
    """Cut a long list for statements with one parameter an item."""
    whole = list(items)
    return (whole[start : start + CHUNK] for start in range(0, len(whole), CHUNK))


def all_rows(result: CursorResult[Any]) -> list[Row]:
    """Return the rows as plain data."""
    columns = tuple(result.keys())
    # not result.mappings(): it looks each row's columns up one by one
    return [dict(zip(columns, row, strict=True)) for row in result.all()]


def first_row(result: CursorResult[Any]) -> Row | None:
    """Return the first row as plain data."""
    row = result.mappings().first()
    return None if row is None else dict(row)


def is_named(table: Table, workspace: str, name: str) -> ColumnElement[bool]:
    """Match one resource."""
    return and_(table.c.workspace == workspace, table.c.name == name)


async def find(connection: AsyncConnection, table: Table, workspace: str, name: str) -> Row | None:
    """Return a resource's row, if there is one."""
    return first_row(await connection.execute(select(table).where(is_named(table, workspace, name))))


async def need(connection: AsyncConnection, table: Table, what: str, workspace: str, name: str) -> Row:
    """Return a resource's row. Raises NotFoundError, naming the workspace where that is what is missing."""
    row = await find(connection, table, workspace, name)
    if row is None:
        await need_workspace(connection, workspace)
        raise NotFoundError(what, f"{workspace}/{name}")
    return row


async def need_workspace(connection: AsyncConnection, workspace: str) -> Row:
    """Return a workspace's row. Raises NotFoundError."""
    row = first_row(await connection.execute(select(WORKSPACE).where(WORKSPACE.c.name == workspace)))
    if row is None:
        raise NotFoundError("workspace", workspace)
    return row


async def lock_workspaces(connection: AsyncConnection, names: Iterable[str]) -> None:
    """Keep other writers out of these workspaces until the commit; every transaction that changes them begins so.

    Without it two transactions on PostgreSQL that touch one entity could each render it without the other's change,
    or publish a provider as it was before the other's; and they could lock rows and the revision counter in opposite
    orders. SQLite has one writer at a time anyway.
    """
    statement = select(WORKSPACE.c.name).where(WORKSPACE.c.name.in_(sorted(set(names)))).order_by(WORKSPACE.c.name)
    await connection.execute(statement.with_for_update(key_share=True))


async def lock_workspace(connection: AsyncConnection, workspace: str) -> Row:
    """Lock one workspace and return its row. Raises NotFoundError."""
    await lock_workspaces(connection, [workspace])
    return await need_workspace(connection, workspace)


async def in_workspace(connection: AsyncConnection, table: Table, workspace: str) -> Select[Any]:
    """Select the rows of a workspace, or of all for `-`. Raises NotFoundError."""
    if workspace == ANY_WORKSPACE:
        return select(table)
    await need_workspace(connection, workspace)
    return select(table).where(table.c.workspace == workspace)


async def served_by(connection: AsyncConnection, entities: Iterable[tuple[str, str]]) -> Serving:
    """Return, for (workspace, entity) pairs, who serves each."""
    found: Serving = {}
    for chunk in chunks(entities):
        found |= await _served_where(connection, _is_one_of(chunk))
    return found


async def served_between(connection: AsyncConnection, first: tuple[str, str], last: tuple[str, str]) -> Serving:
    """Return who serves the entities from one (workspace, entity) pair to another, both included."""
    entity = tuple_(SERVED.c.workspace, SERVED.c.entity)
    return await _served_where(connection, and_(entity >= tuple_(*first), entity <= tuple_(*last)))


async def _served_where(connection: AsyncConnection, condition: ColumnElement[bool]) -> Serving:
    statement = (
        select(SERVED.c.workspace, SERVED.c.entity, PROVIDER.c.name, SERVED.c.served_id)
        .join(PROVIDER, PROVIDER.c.id == SERVED.c.provider_id)
        .where(condition)
        .order_by(PROVIDER.c.name, SERVED.c.served_id)
    )
    found: Serving = {}
    for workspace, entity, provider, served_id in (await connection.execute(statement)).all():
        found.setdefault((workspace, entity), []).append((provider, served_id))
    return found


def _is_one_of(entities: Iterable[tuple[str, str]]) -> ColumnElement[bool]:
    """Match what serves these entities, workspace by workspace: for a list of pairs SQLite reads the whole table."""
    names: dict[str, list[str]] = {}
    for workspace, name in entities:
        names.setdefault(workspace, []).append(name)
    return or_(
        *(and_(SERVED.c.workspace == workspace, SERVED.c.entity.in_(listed)) for workspace, listed in names.items())
    )


def is_among(
    first: ColumnElement[Any], second: ColumnElement[Any], pairs: Sequence[tuple[Any, Any]]
) -> ColumnElement[bool]:
    """Match rows by two columns, the first of which is indexed.

    It is named by itself as well: SQLite uses no index for a list of pairs, but reads the whole table.
    """
    return and_(first.in_({pair[0] for pair in pairs}), tuple_(first, second).in_(pairs))


def like_columns(table: Table, *names: str) -> dict[str, ColumnElement[Any]]:
    """Return columns by the names clients use for them."""
    return {name: table.c[name] for name in names}

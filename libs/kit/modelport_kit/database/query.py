"""Lists: a filter tree, a sort and a page turned into SQL (docs/wire.md, 3.1)."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Boolean, ColumnElement, DateTime, Integer, Select, String, and_, func, not_, or_, select, true
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from modelport_contracts.pages import Pagination, pagination
from modelport_kit.errors import UnprocessableError
from modelport_kit.filters import AllOf, AnyOf, Comparison, Filter, FilterError, Negation
from modelport_kit.lists import InvalidFilterError, PageRequest

Columns = Mapping[str, ColumnElement[Any]]
"""Field names as clients know them."""


def where(tree: Filter | None, columns: Columns) -> ColumnElement[bool]:
    """Compile a filter. Raises InvalidFilterError."""
    match tree:
        case None:
            return true()
        case AllOf(terms):
            return and_(true(), *(where(term, columns) for term in terms))
        case AnyOf(terms):
            return or_(*(where(term, columns) for term in terms))
        case Negation(term):
            return not_(func.coalesce(where(term, columns), False))
        case Comparison():
            return _compare(tree, columns)


def _compare(term: Comparison, columns: Columns) -> ColumnElement[bool]:
    column = columns.get(term.field)
    if column is None:
        raise InvalidFilterError(f"unknown field {term.field!r}; known are {', '.join(sorted(columns))}")
    if term.operator == "$like":
        if not isinstance(term.value, str) or not isinstance(column.type, String):
            raise InvalidFilterError(f"{term.field}: $like compares text with text")
        return column.icontains(term.value, autoescape=True)
    if term.operator in {"$in", "$nin"}:
        values = [_coerce(term.field, column, value) for value in term.value]
        found: ColumnElement[bool] = column.in_([value for value in values if value is not None])
        if None in values:
            found = or_(found, column.is_(None))
        return found if term.operator == "$in" else not_(func.coalesce(found, False))
    value = _coerce(term.field, column, term.value)
    if value is None:
        if term.operator != "$eq":
            raise InvalidFilterError(f"{term.field}: null can only be compared for equality")
        return column.is_(None)
    if term.operator != "$eq" and isinstance(column.type, Boolean):
        raise InvalidFilterError(f"{term.field}: true and false can only be compared for equality")
    compare: Mapping[str, Callable[[], ColumnElement[bool]]] = {
        "$eq": lambda: column == value,
        "$lt": lambda: column < value,
        "$lte": lambda: column <= value,
        "$gt": lambda: column > value,
        "$gte": lambda: column >= value,
    }
    return compare[term.operator]()


def _coerce(field: str, column: ColumnElement[Any], value: Any) -> Any:
    """Make a value what its column holds: query strings only carry text."""
    kind = column.type
    try:
        if value is None:
            return None
        if isinstance(kind, DateTime):
            moment = datetime.fromisoformat(str(value))
            return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
        if isinstance(kind, Boolean):
            return {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]
        if isinstance(kind, Integer):
            return int(value)
    except (KeyError, ValueError, OverflowError):
        raise InvalidFilterError(f"{field} cannot be compared with {str(value)[:80]!r}") from None
    return value if isinstance(value, str) else str(value)


def ordering(sort: str, columns: Columns, tie: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    """Compile a sort: a field, `-` first for descending. Raises UnprocessableError for an unknown field."""
    field = sort.removeprefix("-")
    column = columns.get(field)
    if column is None:
        raise UnprocessableError(("query", "sort"), f"unknown field {field!r}; known are {', '.join(sorted(columns))}")
    return [column.desc(), tie.desc()] if sort.startswith("-") else [column.asc(), tie.asc()]


async def fetch_page(
    connection: AsyncConnection,
    statement: Select[Any],
    request: PageRequest,
    *,
    filterable: Columns,
    sortable: Columns,
    tie: ColumnElement[Any],
) -> tuple[list[Row[Any]], Pagination]:
    """Run a list query: filter, count, sort, cut. A page past the end is empty."""
    try:
        statement = statement.where(where(request.filter, filterable))
    except FilterError as error:
        raise InvalidFilterError(str(error)) from None
    order = ordering(request.sort, sortable, tie)
    total = (await connection.execute(select(func.count()).select_from(statement.subquery()))).scalar_one()
    offset = (request.page - 1) * request.page_size
    rows: list[Row[Any]] = []
    if offset < total:  # also: a page number may be beyond what a database takes as an offset
        cut = statement.order_by(*order).limit(request.page_size).offset(offset)
        rows = list((await connection.execute(cut)).all())
    return rows, pagination(request.page, request.page_size, len(rows), total)

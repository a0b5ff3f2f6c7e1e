"""Filters, sorts and pages as SQL, run by SQLite."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Boolean, Column, DateTime, Integer, MetaData, String, Table, insert, select

from modelport_kit.database.engine import Database
from modelport_kit.database.query import fetch_page
from modelport_kit.errors import UnprocessableError
from modelport_kit.filters import parse_query
from modelport_kit.lists import InvalidFilterError, PageRequest

METADATA = MetaData()
THING = Table(
    "thing",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(63)),
    Column("size", Integer),
    Column("ready", Boolean),
    Column("made", DateTime),
)
FIELDS = {name: THING.c[name] for name in ("name", "size", "ready", "made")}
ROWS = [
    ("alpha", 1, True, datetime(2026, 1, 1)),
    ("Beta_x", 2, False, datetime(2026, 1, 2, 12)),
    ("100%", 3, None, datetime(2026, 1, 3)),
    (None, None, None, None),
    ("ÉTÉ", 5, True, datetime(2026, 1, 5)),
]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'things.db'}", "models")
    async with database.engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
        rows = [dict(zip(("name", "size", "ready", "made"), row, strict=True)) for row in ROWS]
        await connection.execute(insert(THING), rows)
    yield database
    await database.close()


async def found(database: Database, text: str) -> list[int]:
    """Which rows a filter picks, by number from 1."""
    wanted = PageRequest(filter=parse_query([("filter", text)]), sort="name")
    async with database.read() as connection:
        rows, _ = await fetch_page(
            connection, select(THING), wanted, filterable=FIELDS, sortable=FIELDS, tie=THING.c.id
        )
    return sorted(row.id for row in rows)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("name:alpha", [1]),
        ("name:Alpha", []),
        ("name~ALPH", [1]),
        ('name~"%"', [3]),
        ('name~"_"', [2]),
        ('name~"/"', []),
        ('name~"a"', [1, 2]),
        ('name~"ÉT"', [5]),
        ("size>=2 AND size<5", [2, 3]),
        ("size>2", [3, 5]),
        ("size<=1 OR size:5", [1, 5]),
        ("ready:true", [1, 5]),
        ("ready:False", [2]),
        ("ready!=true", [2, 3, 4]),
        ("NOT name~a", [3, 4, 5]),
        ("NOT NOT name~a", [1, 2]),
        ("made>2026-01-02", [2, 3, 5]),
        ("made<2026-01-02T12:30:00+00:30", [1]),
        ("made:2026-01-01T00:00:00Z", [1]),
        ('{"name":null}', [4]),
        ('{"$not":{"name":null}}', [1, 2, 3, 5]),
        ('{"name":{"$in":["alpha","100%"]}}', [1, 3]),
        ('{"name":{"$in":["alpha",null]}}', [1, 4]),
        ('{"name":{"$in":[]}}', []),
        ('{"name":{"$nin":["alpha"]}}', [2, 3, 4, 5]),
        ('{"name":{"$nin":["alpha",null]}}', [2, 3, 5]),
        ('{"name":{"$nin":[]}}', [1, 2, 3, 4, 5]),
        ('{"size":{"$in":["1",2]}}', [1, 2]),
        ('{"name":{"$not":{"$like":"a"}}}', [3, 4, 5]),
        ("{}", [1, 2, 3, 4, 5]),
    ],
)
async def test_what_a_filter_finds(database: Database, text: str, rows: list[int]) -> None:
    assert await found(database, text) == rows


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour:red", "unknown field 'colour'; known are made, name, ready, size"),
        ("id:1", "unknown field 'id'"),
        ("size:many", "size cannot be compared with 'many'"),
        ("ready:perhaps", "ready cannot be compared"),
        ("made:yesterday", "made cannot be compared"),
        ("made<0001-01-01T00:00:00+14:00", "made cannot be compared"),
        ("size~1", "like compares text with text"),
        ("made~2026", "like compares text with text"),
        ('{"name":{"$like":1}}', "like compares text with text"),
        ('{"name":{"$gt":null}}', "null can only be compared for equality"),
        ("ready>true", "only be compared for equality"),
    ],
)
async def test_comparisons_that_make_no_sense(database: Database, text: str, words: str) -> None:
    with pytest.raises(InvalidFilterError, match=words) as caught:
        await found(database, text)
    assert caught.value.status == 400


async def test_pages_and_order(database: Database) -> None:
    async def names(**wanted: int | str) -> list[int]:
        async with database.read() as connection:
            rows, position = await fetch_page(
                connection,
                select(THING),
                PageRequest(**wanted),  # type: ignore[arg-type]
                filterable=FIELDS,
                sortable=FIELDS,
                tie=THING.c.id,
            )
        assert (position.total_results, position.current_page_size) == (5, len(rows))
        return [row.id for row in rows]

    assert await names(sort="-size", page_size=2) == [5, 3]
    assert await names(sort="-size", page_size=2, page=3) == [4]
    assert await names(sort="-size", page_size=2, page=4) == []
    assert await names(sort="-size", page=10**30) == []
    assert await names(sort="ready") == [3, 4, 2, 1, 5]  # equals are told apart by the tie-break
    assert await names(sort="-ready") == [5, 1, 2, 4, 3]
    for sort in ("colour", "", "-", "--size", "id"):
        with pytest.raises(UnprocessableError):
            await names(sort=sort)


@pytest.mark.parametrize("wanted", [{"page": 0}, {"page": -1}, {"page_size": 0}, {"page_size": 1001}])
def test_pages_that_cannot_be(wanted: dict[str, int]) -> None:
    with pytest.raises(UnprocessableError):
        PageRequest(**wanted)  # type: ignore[arg-type]

"""Results on stdout: table, json, yaml, csv, raw."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelport_cli.session import OutputFormat, Session
from modelport_cli.text import note, printable

if TYPE_CHECKING:
    from pydantic import BaseModel

    from modelport import SyncPage

Record = dict[str, Any]
Columns = Mapping[str, str | Callable[[Record], Any]]
"""A table's columns: title -> field, or what to compute."""

_COLOURS = {"READY": "green", "ready": "green", "ERROR": "red", "PENDING": "yellow", "not ready": "red"}


def show_list(session: Session, page: "SyncPage[Any]", columns: Columns, *, all_pages: bool = False) -> None:
    """Print a page of a list, or with `all_pages` this one and all after it."""
    show_records(session, [record(item) for item in (page if all_pages else page.data)], columns)
    if not all_pages and page.has_next_page:
        at = page.pagination
        note(f"Page {at.page} of {at.total_pages} ({at.total_results} in all); --all-pages shows all.")


def show_item(session: Session, item: "BaseModel | Record") -> None:
    """Print one resource."""
    one = item if isinstance(item, dict) else record(item)
    if session.output_format is OutputFormat.TABLE:
        rows = [[name, _cell(value)] for name, value in one.items()]
        _print_table(None, rows)
    elif session.output_format is OutputFormat.CSV:
        _write(_csv([one]))
    else:
        show_value(session, one)


def show_records(session: Session, records: Sequence[Record], columns: Columns) -> None:
    """Print several resources."""
    if session.output_format is OutputFormat.TABLE:
        rows = [[_cell(_value(one, source)) for source in columns.values()] for one in records]
        _print_table(list(columns), rows)
    elif session.output_format is OutputFormat.CSV:
        _write(_csv(records))
    elif session.output_format is OutputFormat.RAW:
        _write("".join(f"{_compact(one)}\n" for one in records))
    else:
        show_value(session, list(records))


def show_value(session: Session, value: Any) -> None:
    """Print any value that JSON can hold; a table or CSV of it is not to be had, so those print JSON."""
    if session.output_format is OutputFormat.YAML:
        import yaml

        _write(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
    elif session.output_format is OutputFormat.RAW:
        _write(_compact(value) + "\n")
    else:
        _write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def record(item: "BaseModel") -> Record:
    """Return what the platform sent of a resource."""
    return item.model_dump(mode="json", exclude_unset=True)


def _value(one: Record, source: str | Callable[[Record], Any]) -> Any:
    return one.get(source) if isinstance(source, str) else source(one)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return _compact(value) if isinstance(value, dict | list) else str(value)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _csv(records: Sequence[Record]) -> str:
    fields = list(dict.fromkeys(name for one in records for name in one))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    for one in records:
        values = (one.get(name) for name in fields)
        writer.writerow([_compact(v) if isinstance(v, dict | list | bool) else v for v in values])
    return text.getvalue() if fields else ""


def _print_table(titles: list[str] | None, rows: Iterable[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Without a terminal nothing sets a width, and a row stays one line for grep.
    console = Console(width=None if sys.stdout.isatty() else 10_000, highlight=False, soft_wrap=False)
    table = Table(box=None, pad_edge=False, show_header=titles is not None, header_style="bold")
    for title in titles or ["", ""]:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell), style=_COLOURS.get(cell, "")) for cell in row))
    console.print(table)


def _write(text: str) -> None:
    sys.stdout.write(text)

"""Look-ups that resolution is written against, so that it is one function whether or not Redis must be asked.

`Known` sees what the near cache holds verified: no await, the usual request. `Gathered` holds what was asked for so
far; resolution is then simply run again.
"""

from collections.abc import Mapping
from typing import Protocol

from modelport_contracts.records import Source
from modelport_gateway.route.table import Entry, RoutingTable


class UnknownHereError(Exception):
    """A record or index must be asked for before resolution can go on."""

    def __init__(self, key: str, index_source: Source | None = None) -> None:
        super().__init__(key)
        self.key = key
        self.index_source = index_source
        """Set where `key` names an index."""


class Lookup(Protocol):
    """Both methods raise UnknownHereError."""

    def record(self, key: str) -> Entry: ...

    def index(self, name: str) -> Mapping[str, str]: ...


class Known:
    """What can be said without asking."""

    __slots__ = ("_peek", "_peek_index")

    def __init__(self, table: RoutingTable) -> None:
        self._peek = table.peek
        self._peek_index = table.peek_index

    def record(self, key: str) -> Entry:
        entry = self._peek(key)
        if entry is None:
            raise UnknownHereError(key)
        return entry

    def index(self, name: str) -> Mapping[str, str]:
        fields = self._peek_index(name)
        if fields is None:
            raise UnknownHereError(name, "models")
        return fields


class Gathered:
    """What was asked for on behalf of one request; each record is read once."""

    def __init__(self, table: RoutingTable) -> None:
        self._table = table
        self._records: dict[str, Entry] = {}
        self._indexes: dict[str, Mapping[str, str]] = {}

    def record(self, key: str) -> Entry:
        entry = self._records.get(key) or self._table.peek(key)
        if entry is None:
            raise UnknownHereError(key)
        return entry

    def index(self, name: str) -> Mapping[str, str]:
        fields = self._indexes.get(name)
        if fields is None:
            raise UnknownHereError(name, "models")
        return fields

    async def ask(self, unknown: UnknownHereError, *, min_revision: int = 0) -> None:
        """Ask the table. Raises TableAwayError."""
        if unknown.index_source is not None:
            self._indexes[unknown.key] = await self._table.index(unknown.key, unknown.index_source)
        else:
            self._records[unknown.key] = await self._table.get(unknown.key, min_revision=min_revision)

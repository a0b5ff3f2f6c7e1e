"""The routing table as the data plane sees it: a near cache that is looked at, and asked when it does not know."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from modelport_contracts.records import Source


class Entry(Protocol):
    """One record as the near cache holds it."""

    @property
    def present(self) -> bool:
        """False where the record is known to be absent."""
        ...

    @property
    def revision(self) -> int:
        """The record's revision within its source."""
        ...

    @property
    def payload(self) -> bytes | None: ...

    @property
    def verified(self) -> bool: ...

    compiled: Any
    """What was built from the payload; it lives as long as the entry."""


class RoutingTable(Protocol):
    """What `modelport_routing.near_cache.NearCache` offers.

    `get` and `index` raise `modelport_routing.errors.TableAwayError` when Redis cannot be asked and nothing is
    known here: an absence that cannot be proved is never reported as one.
    """

    def peek(self, key: str, /) -> Entry | None:
        """Return a verified entry, present or absent; None means: ask `get`."""
        ...

    async def get(self, key: str, /, *, min_revision: int = 0) -> Entry: ...

    async def get_many(self, wanted: Sequence[str], /) -> Mapping[str, Entry]:
        """Do what `get` does for several keys."""
        ...

    def peek_index(self, name: str, /) -> Mapping[str, str] | None:
        """Return a verified index, the same object as long as it is the same; None means: ask `index`."""
        ...

    async def index(self, name: str, source: Source, /) -> Mapping[str, str]: ...

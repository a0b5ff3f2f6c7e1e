"""Changes and tables for tests of the routing table."""

import json
import uuid
from collections.abc import Iterable

from modelport_contracts.records import SOURCES, Change, Envelope, IndexEntry, Source
from modelport_routing import Outcome, RouteWriter
from modelport_routing.keys import source_of


def put(
    key: str, revision: int, *, incarnation: str = "one", index: Iterable[IndexEntry] = (), text: str = ""
) -> Change:
    """Make the change that gives a record a new state; the payload says key and revision."""
    payload = json.dumps({"key": key, "revision": revision, "text": text}).encode()
    return Change(envelope=_envelope(key, revision, incarnation, index, "put"), payload=payload)


def delete(key: str, revision: int, *, incarnation: str = "one") -> Change:
    """Make the change that removes a record."""
    return Change(envelope=_envelope(key, revision, incarnation, (), "delete"), payload=b"")


def _envelope(key: str, revision: int, incarnation: str, index: Iterable[IndexEntry], operation: str) -> Envelope:
    return Envelope.model_validate(
        {
            "key": key,
            "source": source_of(key),
            "incarnation": incarnation,
            "revision": revision,
            "operation": operation,
            "index": tuple(index),
        }
    )


async def begin(writer: RouteWriter) -> str:
    """Begin a new epoch, whatever stands."""
    state = await writer.state()
    return await writer.begin_epoch(state.stored_epoch, uuid.uuid4().hex)


async def open_table(
    writer: RouteWriter, *, revision: int = 0, complete: bool = True, sources: Iterable[Source] = SOURCES
) -> str:
    """Begin an epoch in which the sources are open and, unless told otherwise, complete."""
    epoch = await begin(writer)
    for source in sources:
        assert await writer.open_source(epoch, source, "one", revision) is Outcome.APPLIED
        if complete:
            assert await writer.finish(epoch, source, "one", revision, complete=True) is Outcome.APPLIED
    return epoch

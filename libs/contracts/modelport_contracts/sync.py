"""The internal HTTP interface by which a gateway repairs its routing table from a source.

`GET /internal/v1/snapshot?cursor=` pages everything a source owns, tombstones excluded;
`GET /internal/v1/changes?after=` answers what changed since a revision, removals included, while that is kept (24 h).
`POST /internal/v1/seen` tells a source how far somebody has seen it, and asks how far it is.
All need a service token with the `sync` scope.
"""

from pydantic import BaseModel, ConfigDict

from modelport_contracts.records import Change, Envelope

SNAPSHOT_PATH = "/internal/v1/snapshot"
CHANGES_PATH = "/internal/v1/changes"
SEEN_PATH = "/internal/v1/seen"


class Position(BaseModel):
    """A moment in a source's life: which database, and its revision.

    Sent to SEEN_PATH it is what the sender has seen; the reply is where the source is. One that was seen at a later
    revision than it has went back, by a restored backup, and becomes another incarnation (docs/propagation.md, rule 2).
    """

    model_config = ConfigDict(frozen=True)

    incarnation: str
    revision: int


class SyncRecord(BaseModel):
    """One change as JSON; the payload travels as text so that its bytes survive."""

    model_config = ConfigDict(frozen=True)

    envelope: Envelope
    payload: str = ""

    @classmethod
    def of(cls, change: Change) -> "SyncRecord":
        """Wrap a change for JSON."""
        return cls(envelope=change.envelope, payload=change.payload.decode())

    def change(self) -> Change:
        """Unwrap."""
        return Change(envelope=self.envelope, payload=self.payload.encode())


class SnapshotPage(BaseModel):
    """A page of everything a source owns. `revision` was read before the first page and is the same on all."""

    incarnation: str
    revision: int
    records: list[SyncRecord]
    next: str | None = None


class ChangesPage(BaseModel):
    """What changed after a revision, newest state per key. `complete` is False when that is no longer known."""

    incarnation: str
    revision: int
    complete: bool
    records: list[SyncRecord] = []

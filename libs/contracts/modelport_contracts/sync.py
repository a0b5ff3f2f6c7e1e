"""The internal HTTP interface by which a gateway repairs its routing table from a source.

`GET /internal/v1/snapshot?cursor=` pages everything a source owns, tombstones excluded;
`GET /internal/v1/changes?after=` answers what changed since a revision, removals included, while that is kept (24 h).
Both need a service token with the `sync` scope.
"""

from pydantic import BaseModel, ConfigDict

from modelport_contracts.records import Change, Envelope

SNAPSHOT_PATH = "/internal/v1/snapshot"
CHANGES_PATH = "/internal/v1/changes"


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

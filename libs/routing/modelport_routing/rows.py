"""A row of the table as bytes, and what may be concluded from it.

A row is `<epoch> <source> <revision> <seq> <put|delete>`, a line with its index entries as JSON, and the payload
as the service sent it. The scripts write it and read the first two lines; a later release may append to the first.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from modelport_contracts.records import IndexEntry
from modelport_routing import keys

TOMBSTONE = "delete"
_one_line = json.JSONEncoder(separators=(",", ":")).encode
"""json.dumps would make an encoder for each row."""


@dataclass(frozen=True, slots=True)
class Row:
    """A parsed row."""

    epoch: str
    source: str
    revision: int
    seq: int
    present: bool
    """False for a tombstone."""
    payload: bytes


def parse_row(raw: bytes) -> Row | None:
    """Parse a row; None for one that cannot be read, which proves nothing."""
    head, _, rest = raw.partition(b"\n")
    _, newline, payload = rest.partition(b"\n")
    fields = head.split(b" ")
    if not newline or len(fields) < 5:
        return None
    try:
        epoch, source, operation = fields[0].decode(), fields[1].decode(), fields[4].decode()
        return Row(epoch, source, int(fields[2]), int(fields[3]), operation != TOMBSTONE, payload)
    except ValueError:
        return None


def index_line(entries: Iterable[IndexEntry]) -> str:
    """Encode index entries as the scripts read them: hash, field, value; one line."""
    listed = [[keys.index(entry.index), entry.field, entry.value] for entry in entries]
    return _one_line(listed)


class Verdict(Enum):
    """What one reading of epoch, mark and row says about a key."""

    PRESENT = "present"
    ABSENT = "absent"
    OVER = "over"
    """Removed in the current epoch, before the mark stands: what was known is over, absence not yet proven."""
    UNPROVEN = "unproven"
    """The row, if there is one, belongs to another epoch: better than nothing, no better than what is known."""


def epoch_is_current(epoch: str | None, run_id: str) -> bool:
    """Say whether an epoch was begun on the server with this run id; an old dump's or a replica's was not."""
    return epoch is not None and epoch.partition(":")[0] == run_id


def run_id_of(info: bytes | str) -> str:
    """Return the run id in a server's answer to INFO. Raises ConnectionError where there is none."""
    text = info if isinstance(info, str) else info.decode(errors="replace")
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == "run_id":
            return value.strip()
    raise ConnectionError("the server did not say its run_id")


def judge(epoch: str | None, mark: str | None, row: Row | None, run_id: str) -> Verdict:
    """Judge what was read in one MGET (docs/propagation.md, rules 12 and 13).

    A row of the current epoch is the truth. Absence, by no row, a tombstone or a row of another epoch, is
    believed only under the source's mark for the current epoch.
    """
    if epoch is None or not epoch_is_current(epoch, run_id):
        return Verdict.UNPROVEN
    of_epoch = row is not None and row.epoch == epoch
    if of_epoch and row is not None and row.present:
        return Verdict.PRESENT
    if mark == epoch:
        return Verdict.ABSENT
    return Verdict.OVER if of_epoch else Verdict.UNPROVEN

"""What each request header means to the gateway (docs/dataplane.md, Headers out).

Most lines are kept or dropped by name alone; the rest are read while the head is parsed. The outcome per name is
remembered under the exact bytes of the name, so the usual line costs one dictionary look-up.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Final

from modelport_contracts.headers import HOP_BY_HOP
from modelport_gateway.admit.credentials import CLIENT_CREDENTIALS


class Field(IntEnum):
    """What to do with a line. Everything from HOST on is read as well."""

    KEEP = 0
    DROP = 1
    HOST = 2
    CONTENT_LENGTH = 3
    TRANSFER_ENCODING = 4
    CONNECTION = 5
    EXPECT = 6
    UPGRADE = 7
    MIN_REVISION = 8
    CONTENT_TYPE = 9
    CONTENT_ENCODING = 10
    REQUEST_ID = 11
    CDN_LOOP = 12
    IDEMPOTENCY_KEY = 13
    ORIGIN = 14
    PREFLIGHT_METHOD = 15


_READ: Final = {
    b"host": Field.HOST,
    b"content-length": Field.CONTENT_LENGTH,
    b"transfer-encoding": Field.TRANSFER_ENCODING,
    b"connection": Field.CONNECTION,
    b"expect": Field.EXPECT,
    b"upgrade": Field.UPGRADE,
    b"x-modelport-min-revision": Field.MIN_REVISION,
    b"content-type": Field.CONTENT_TYPE,
    b"content-encoding": Field.CONTENT_ENCODING,
    b"x-request-id": Field.REQUEST_ID,
    b"cdn-loop": Field.CDN_LOOP,
    b"idempotency-key": Field.IDEMPOTENCY_KEY,
    b"origin": Field.ORIGIN,
    b"access-control-request-method": Field.PREFLIGHT_METHOD,
}
FIRST_KEPT: Final = Field.CONTENT_TYPE
"""Fields from this one on are read and kept; those before it are read and dropped."""

_ORIGIN_OF_THE_CLIENT: Final = {
    b"forwarded",
    b"x-real-ip",
    b"true-client-ip",
    b"cf-connecting-ip",
}
_DROPPED: Final[frozenset[bytes]] = frozenset(
    {name.encode() for name in HOP_BY_HOP} | CLIENT_CREDENTIALS | _ORIGIN_OF_THE_CLIENT
)
_DROPPED_PREFIXES: Final = (b"x-forwarded-", b"x-nmp-", b"x-modelport-")
_REMEMBERED: Final = 4096
_LONGEST_REMEMBERED: Final = 64
"""Names in use are shorter, and a table full of names of 64 KiB would fill the memory."""


def classify(name: bytes) -> int:
    """Judge a header by its name, in any case."""
    lower = name.lower()
    read = _READ.get(lower)
    if read is not None:
        return read
    if lower in _DROPPED or lower.startswith(_DROPPED_PREFIXES):
        return Field.DROP
    return Field.KEEP


class FieldTable:
    """A classifier with a bounded memory; peers choose header names, so it is emptied when full."""

    def __init__(self, classifier: Callable[[bytes], int]) -> None:
        self._classifier = classifier
        self.known: dict[bytes, int] = {}

    def learn(self, name: bytes) -> int:
        """Classify and, if anybody could mean it, remember."""
        found = int(self._classifier(name))
        if len(name) > _LONGEST_REMEMBERED:
            return found
        if len(self.known) >= _REMEMBERED:
            self.known.clear()
        self.known[name] = found
        return found

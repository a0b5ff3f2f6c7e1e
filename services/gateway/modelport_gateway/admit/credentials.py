"""The headers in which a client shows who it is to this gateway; none of them ever reaches a provider."""

from typing import Final

from modelport_contracts.headers import CREDENTIALS

CLIENT_CREDENTIALS: Final[frozenset[bytes]] = frozenset(name.encode() for name in CREDENTIALS)

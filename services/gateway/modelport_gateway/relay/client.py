"""The client's side of an exchange, as the exchange sees it."""

from typing import Protocol


class Client(Protocol):
    """The connection on which the request came."""

    def write(self, data: bytes) -> None: ...

    @property
    def unsent(self) -> int:
        """Bytes that the client has not taken yet."""
        ...

    def pause_body(self) -> None: ...

    def resume_body(self) -> None: ...

    def exchange_ended(self, *, keep_alive: bool) -> None: ...

    def abort(self) -> None:
        """Close so that the client cannot take what it has for a whole reply."""
        ...

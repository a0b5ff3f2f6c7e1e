"""A request's body on its way in: held until it is known where it goes, or until it is whole."""

import asyncio

from modelport_gateway.errors import BodyTooLargeError

HIGH_WATER = 64 * 1024
"""What is held of a body that is only waiting for its connection, in bytes."""


class Upload:
    """What has come of a request's body and has not been sent on."""

    __slots__ = ("_limit", "_pieces", "_waiter", "announced", "bytes_in", "done", "held")

    def __init__(self, announced: int, whole: bytes | None = None) -> None:
        """`whole` is the body where all of it is here already."""
        self.announced = announced
        """Content-Length, -1 without one."""
        self.bytes_in = self.held = len(whole) if whole else 0
        self.done = whole is not None
        self._pieces = [whole] if whole else []
        self._limit = 0
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_awaited(self) -> bool:
        """True while somebody waits for the whole body."""
        return self._waiter is not None

    def hold(self, payload: bytes) -> bool:
        """Keep a piece; True where no more should be read until somebody asks."""
        self._pieces.append(payload)
        self.held += len(payload)
        if self._limit:
            if self.held > self._limit:
                self._wake()
            return False
        return self.held > HIGH_WATER

    def end(self) -> None:
        """The body is complete."""
        self.done = True
        self._wake()

    def body(self) -> bytes:
        """Return what is held."""
        pieces = self._pieces
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def release(self) -> None:
        """Hold nothing any more."""
        self._pieces.clear()

    async def whole(self, limit: int) -> bytes:
        """Wait for the whole body. Raises BodyTooLargeError beyond `limit` bytes."""
        self._limit = limit
        while not self.done and not self._is_beyond(limit):
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._is_beyond(limit):
            raise BodyTooLargeError(
                f"the body is larger than {limit} bytes, the most this route reads; the provider route "
                "forwards bodies of any size"
            )
        return self.body()

    def _is_beyond(self, limit: int) -> bool:
        return self.held > limit or self.announced > limit

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

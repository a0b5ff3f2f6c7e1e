"""The former head of a connection, so that the same head is not read twice (docs/dataplane.md, Speed).

What comes over one connection is mostly the same head again, with another Content-Length. A head that equals the
former one in every byte but those digits means the same, because what was judged in the former is all there is in
the new one; comparing costs a twentieth of reading. Each connection keeps its own, of one head, for as long as it is
busy: nothing is shared between clients, and nobody's credentials stay behind.
"""

from typing import Final

MAX_REMEMBERED: Final = 4096
"""Bytes of a head that is kept; what clients send by themselves is below 2 KiB."""
_MAX_DIGITS: Final = 15
_LENGTHS: Final = (b"\r\nContent-Length: ", b"\r\ncontent-length: ")
"""As clients and servers spell it. With any other spelling only the identical head matches."""


class HeadPattern:
    """A valid head, cut open where the digits of its Content-Length stood."""

    __slots__ = ("_after", "_before", "_gap")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before = before
        self._after = after
        """Empty where nothing was cut out."""
        self._gap = len(before)

    def match(self, data: bytes) -> tuple[int, bytes] | None:
        """Return (offset behind the head, digits of its length) where `data` begins with such a head, else None.

        Without digits the head is the same in every byte.
        """
        if not data.startswith(self._before):
            return None
        gap, after = self._gap, self._after
        if not after:
            return gap, b""
        stop = data.find(b"\r", gap, gap + _MAX_DIGITS + 1)
        digits = data[gap:stop]
        if stop < 0 or not digits.isdigit() or not data.startswith(after, stop):
            return None
        return stop + len(after), digits


def pattern_of(head: bytes, limit: int = 2 * MAX_REMEMBERED) -> HeadPattern | None:
    """Return the pattern of a valid head that ends in CRLF CRLF; None for one that is too long to be kept.

    What matches is no longer than `limit` bytes either.
    """
    if len(head) > MAX_REMEMBERED or len(head) + _MAX_DIGITS > limit:
        return None
    around = around_length(head)
    return HeadPattern(*around) if around is not None else HeadPattern(head, b"")


def around_length(head: bytes) -> tuple[bytes, bytes] | None:
    """Cut the digits of its Content-Length out of a head; None where there are none that can be cut out."""
    for name in _LENGTHS:
        found = head.find(name)
        if found >= 0:
            gap = found + len(name)
            stop = head.find(b"\r", gap)
            if stop - gap <= _MAX_DIGITS and head[gap:stop].isdigit():
                return head[:gap], head[stop:]
            break
    return None

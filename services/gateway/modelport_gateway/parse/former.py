"""What a client's connection remembers of its former inference request (parse/pattern.py; docs/dataplane.md, Speed)."""

from typing import Final

from modelport_gateway.parse.head import RequestHead
from modelport_gateway.parse.path import Call
from modelport_gateway.parse.pattern import MAX_REMEMBERED, HeadPattern, pattern_of

REMEMBERED_S: Final = 5.0
"""For so long an idle connection keeps its former request: it holds what the client sent as credential."""
_TRIES: Final = 3
_TRY_EVERY: Final = 16
"""Where so many heads were unlike each other, only one of so many is made a pattern: that costs as much as it gains."""


class Former:
    """The former request. A new one that is like it is served with the same head and call."""

    __slots__ = ("call", "head", "pattern", "unlike")

    def __init__(self, pattern: HeadPattern | None, head: RequestHead, call: Call, unlike: int) -> None:
        self.pattern = pattern
        """None where none was made because the heads of this connection are not alike."""
        self.head = head
        self.call = call
        self.unlike = unlike
        """Heads in a row that were unlike the one before."""

    def match(self, data: bytes) -> int:
        """Return the offset behind a head like the former one, which `head` then stands for; 0 where it is unlike."""
        found = self.pattern.match(data) if self.pattern is not None else None
        if found is None:
            return 0
        end, digits = found
        self.head = self.head.with_length(digits)
        self.unlike = 0
        return end

    def call_of(self, head: RequestHead) -> Call | None:
        """Return what a request that was read asks for, if it is the same; else None."""
        if head.target == self.head.target and head.method == self.head.method:
            return self.call.again()
        return None


def remembered(former: Former | None, text: bytes, head: RequestHead, call: Call, limit: int) -> Former | None:
    """Return what is kept of a request that was read, after `former`. `limit` is the size that a head may have."""
    if len(text) > MAX_REMEMBERED:
        return None
    unlike = former.unlike + 1 if former is not None else 1
    is_tried = unlike <= _TRIES or unlike % _TRY_EVERY == 0
    return Former(pattern_of(text, limit) if is_tried else None, head, call, unlike)

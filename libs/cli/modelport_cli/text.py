"""Text for people: on terminals, without what could steer them."""

import re
import sys
from collections.abc import Sequence

FEW = 5
"""So many names are told one by one; of more only how many there are."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Replace control characters other than tab and newline.

    What a provider or another user wrote must not be able to move the cursor or to rename the window.
    """
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def few(names: Sequence[str], count: int) -> str:
    """List the first of `count` names, as in `a, b and 7 more`."""
    shown = ", ".join(names[:FEW])
    return f"{shown} and {count - FEW} more" if count > FEW else shown


def note(text: str) -> None:
    """Say something that is not the result."""
    print(printable(text), file=sys.stderr, flush=True)

"""The choice among a model's providers: the first that is READY, else the first there is."""

from collections.abc import Iterable
from typing import NamedTuple

from modelport_gateway.prepare.target import Target


class Choice(NamedTuple):
    """A provider, and the id by which it knows the model (as a JSON string)."""

    target: Target
    served_id: bytes


def choose(choices: Iterable[Choice]) -> Choice | None:
    """Choose; None where nobody serves the model. Looks no further than the first that is READY."""
    first: Choice | None = None
    for choice in choices:
        if choice.target.ready:
            return choice
        if first is None:
            first = choice
    return first

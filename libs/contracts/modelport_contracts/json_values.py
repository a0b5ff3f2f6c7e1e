"""Which JSON a request may carry: only what every database, table and client behind it can hold.

Python's parser lets more through than JSON has (RFC 8259): NaN, infinities, lone halves of surrogate pairs. And
PostgreSQL stores no NUL in text.
"""

import math
from collections.abc import Collection
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

MAX_DEPTH = 64


def check_json(value: Any, *, where: str = "", allow_nul: bool = False) -> None:
    """Raise ValueError, naming the place and never the content, where a value cannot be kept."""
    _check(value, where, allow_nul, 0)


def _check(value: Any, where: str, allow_nul: bool, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        _check_text(value, where, allow_nul)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where or 'the value'}: NaN and infinities are no JSON")
    elif isinstance(value, dict):
        for name, item in value.items():
            if isinstance(name, str):
                _check_text(name, f"a member's name in {where or 'the body'}", allow_nul)
            _check(item, f"{where}.{name}".removeprefix("."), allow_nul, depth + 1)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            _check(item, f"{where}.{position}".removeprefix("."), allow_nul, depth + 1)


def _check_text(text: str, where: str, allow_nul: bool) -> None:
    if "\0" in text and not allow_nul:
        raise ValueError(f"{where or 'the text'}: must not hold a NUL character")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"{where or 'the text'}: holds half of a surrogate pair, which is no Unicode text")


class RequestBody(BaseModel):
    """Base of what requests carry. Unknown members are ignored: clients may be newer."""

    model_config = ConfigDict(extra="ignore")

    members_with_nul: ClassVar[Collection[str]] = ()
    """Members whose text may hold a NUL."""

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, body: Any) -> Any:
        if isinstance(body, dict):
            for name, value in body.items():
                check_json(value, where=str(name), allow_nul=name in cls.members_with_nul)
        return body

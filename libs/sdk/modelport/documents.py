"""JSON and YAML that people write: parsed to the values that JSON has, and to no others.

No error of this module, and none that it chains, holds any of the text: it may be a secret.
"""

import json
import math
from typing import Any

MAX_DEPTH = 100
"""Objects and lists within each other."""
MAX_VALUES = 1_000_000
"""YAML's aliases make a few lines stand for any number of values."""
MAX_INTEGER_BITS = 4096
_JSON_TAGS = ("null", "bool", "int", "float", "str", "seq", "map")


class DocumentError(ValueError):
    """A text cannot be used. The message says why, as a sentence without its subject."""


def parse(text: str) -> Any:
    """Parse JSON or YAML. Raises DocumentError."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = _load_yaml(text, "is neither JSON nor YAML")
    except RecursionError:
        raise DocumentError(_TOO_DEEP) from None
    except ValueError:
        # Python's own limit of an integer's digits.
        raise DocumentError(_TOO_LARGE) from None
    check_values(value)
    return value


def parse_yaml(text: str) -> Any:
    """Parse YAML. Raises DocumentError."""
    value = _load_yaml(text, "is no YAML")
    check_values(value)
    return value


def check_values(value: Any) -> None:
    """Raise DocumentError unless this can be sent as JSON: its depth, its numbers, its texts."""
    seen = 0
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for one in level:
            _check_scalar(one)
            if isinstance(one, dict):
                # A key that is a number becomes text.
                for key in one:
                    _check_scalar(key)
                below.extend(one.values())
            elif isinstance(one, list):
                below.extend(one)
            seen += 1
            if seen + len(below) > MAX_VALUES:
                raise DocumentError("stands for too many values")
        if not below:
            return
        level = below
    raise DocumentError(_TOO_DEEP)


def is_text(text: str) -> bool:
    """Say whether UTF-8 can hold this: half a character, as from bytes that are no UTF-8, is no text."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


_TOO_DEEP = f"is nested more than {MAX_DEPTH} deep"
_TOO_LARGE = "holds a number that is too large"


def _check_scalar(value: Any) -> None:
    if isinstance(value, str):
        if not is_text(value):
            raise DocumentError("holds a text that UTF-8 has no form of")
    elif isinstance(value, int):
        if value.bit_length() > MAX_INTEGER_BITS:
            raise DocumentError(_TOO_LARGE)
    elif isinstance(value, float) and not math.isfinite(value):
        raise DocumentError("holds a number that JSON does not have")


def _load_yaml(text: str, otherwise: str) -> Any:
    import yaml

    try:
        return yaml.load(text, Loader=_loader())  # noqa: S506 (a subclass of SafeLoader)
    except RecursionError:
        raise DocumentError(_TOO_DEEP) from None
    except yaml.constructor.ConstructorError as error:
        raise DocumentError(f"holds a value that JSON does not have{_place(error)}") from None
    except yaml.YAMLError as error:
        raise DocumentError(f"{otherwise}{_place(error)}") from None


def _place(error: Exception) -> str:
    """Say where YAML broke, without the line itself."""
    mark = getattr(error, "problem_mark", None)
    return f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""


def _loader() -> Any:
    """Make a YAML loader whose values are those of JSON: 2023-06-01 is text, not a date."""
    import yaml

    tags = {f"tag:yaml.org,2002:{name}" for name in _JSON_TAGS}
    merge = "tag:yaml.org,2002:merge"

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in resolvers if tag in tags or tag == merge]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }
        yaml_constructors = {
            tag: construct for tag, construct in yaml.SafeLoader.yaml_constructors.items() if tag in tags or tag is None
        }

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep)
            except (ValueError, LookupError, ArithmeticError, TypeError, AttributeError):
                # A value that is not as its tag says. Python's own text quotes it.
                raise yaml.constructor.ConstructorError(None, None, "", node.start_mark) from None

    return Loader

"""What reading and editing a JSON body must hold for any bytes at all, judged by the standard library's json."""

import json
from typing import Any

from modelport_gateway.errors import BadRequestError
from modelport_gateway.prepare.body import ExtraBody, edited_body
from modelport_gateway.prepare.splice import JsonObject, read_object

_EXTRA = ExtraBody({"user": "u", "model": "default"}, {"store": False})
_SERVED = b'"served/id"'


class _Object(list[tuple[str, Any]]):
    """An object's members in order, duplicates included; never equal to an array."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Object) and list(self) == list(other)

    __hash__ = None


def _refuse_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are no JSON


def parse(body: bytes) -> Any:
    """Parse JSON as RFC 8259 has it. Raises ValueError, RecursionError."""
    return json.loads(
        body.decode(), object_pairs_hook=_Object, parse_constant=_refuse_constant, parse_int=str, parse_float=str
    )


def check(body: bytes) -> None:
    """Raise AssertionError where the gateway and the standard library disagree about a body."""
    try:
        expected = parse(body)
    except (ValueError, RecursionError):
        expected = None
    try:
        found = read_object(body)
    except BadRequestError as error:
        _check_refusal(error, expected)
        return
    assert isinstance(expected, _Object), "taken for an object, and is none"
    names = [name for name, _ in expected]
    assert len(set(names)) == len(names), "a duplicate was not noticed"
    _check_spans(found, expected)
    _check_splice(found, expected)
    _check_extras(found, expected)


def _check_refusal(error: BadRequestError, expected: Any) -> None:
    if error.error_code == "duplicate_member":
        assert isinstance(expected, _Object)
        assert len({name for name, _ in expected}) < len(expected), "refused as a duplicate, and is none"
        return
    assert error.error_code == "invalid_json"
    if isinstance(expected, _Object):
        # What json takes and the gateway does not: halves of surrogate pairs, which no UTF-8 text can hold, and depth.
        text = str(expected)
        assert "\\ud" in text or _depth(expected) > 100, f"refused, and is an object: {error.message}"


def _depth(value: Any) -> int:
    depth, layer = 0, [value]
    while layer:
        depth += 1
        inner = [item[1] for one in layer if isinstance(one, _Object) for item in one]
        inner += [item for one in layer if isinstance(one, list) and not isinstance(one, _Object) for item in one]
        layer = [one for one in inner if isinstance(one, list)]
    return depth


def _check_spans(found: JsonObject, expected: _Object) -> None:
    assert list(found.spans) == [name for name, _ in expected]
    position = found.open
    for name, value in expected:
        start, end = found.spans[name]
        assert position <= start < end <= found.close
        assert parse(found.body[start:end]) == value
        position = end
    assert found.body[: found.open].strip(b" \t\r\n") == b"{"
    assert found.body[found.close :].strip(b" \t\r\n") == b"}"


def _check_splice(found: JsonObject, expected: _Object) -> None:
    spliced = found.with_model(_SERVED)
    if "model" in found.spans:
        start, end = found.spans["model"]
        assert spliced == found.body[:start] + _SERVED + found.body[end:]
        wanted = [(name, "served/id" if name == "model" else value) for name, value in expected]
    else:
        inserted = b'"model":' + _SERVED + (b"," if expected else b"")
        assert spliced == found.body[: found.open] + inserted + found.body[found.open :]
        wanted = [("model", "served/id"), *expected]
    assert parse(spliced) == _Object(wanted)


def _check_extras(found: JsonObject, expected: _Object) -> None:
    merged = read_object(edited_body(found, _SERVED, _EXTRA))
    wanted = {"user": "u", **dict(expected), "model": "served/id", "store": False}
    assert dict(parse(merged.body)) == wanted
    for name in found.spans.keys() - {"model", "store"}:
        before, after = found.spans[name], merged.spans[name]
        assert merged.body[slice(*after)] == found.body[slice(*before)]

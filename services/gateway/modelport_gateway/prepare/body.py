"""What happens to a body on its way: forwarded unread, or `model` and a provider's extra members spliced in.

The rules are docs/wire.md, 3.5: extra bodies merge shallowly, default < client < required.
"""

import json
from collections.abc import Mapping
from typing import Any

from modelport_gateway.errors import BadRequestError, EncodedBodyError
from modelport_gateway.parse.head import RequestHead
from modelport_gateway.prepare.splice import Edit, JsonObject, read_object


class ExtraBody:
    """A provider's extra body members, encoded once."""

    __slots__ = ("default", "is_empty", "required")

    def __init__(self, default: Mapping[str, Any], required: Mapping[str, Any]) -> None:
        self.default = {key: _encode(value) for key, value in default.items() if key not in required}
        self.required = {key: _encode(value) for key, value in required.items()}
        self.is_empty = not default and not required


def _encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def is_json(head: RequestHead) -> bool:
    """Say whether the body is declared as JSON: application/json or a +json type (RFC 6839)."""
    content_type = head.content_type
    if content_type is None:
        return False
    if content_type == b"application/json":
        return True
    media_type = content_type.partition(b";")[0].strip().lower()
    return media_type == b"application/json" or media_type.endswith(b"+json")


def is_encoded(head: RequestHead) -> bool:
    """Say whether the body is compressed."""
    encoding = head.content_encoding
    return encoding is not None and encoding.lower() not in (b"", b"identity")


def check_not_encoded(head: RequestHead) -> None:
    """Refuse a compressed body that would have to be read. Raises EncodedBodyError."""
    if is_encoded(head):
        raise EncodedBodyError(
            "this route reads the JSON body and cannot read a compressed one; send it without Content-Encoding, "
            "or use the provider route, which forwards bodies unread"
        )


def named_model(body: JsonObject) -> str:
    """Return the string `model` that the OpenAI route needs. Raises BadRequestError."""
    model = body.model()
    if model is None:
        raise BadRequestError(
            'the body must name a model: a string member "model"; the provider route forwards bodies without one',
            code="model_required",
        )
    return model


def no_json_body() -> BadRequestError:
    """Build the cause for an OpenAI-route request without a JSON body."""
    return BadRequestError(
        "the OpenAI route finds the provider by the body's model and needs a JSON object (Content-Type: "
        "application/json); use the provider route (/provider/{name}/-/...) for anything else",
        code="json_body_required",
    )


def edited_body(body: JsonObject, served_id: bytes | None, extra: ExtraBody) -> bytes:
    """Return the body for the provider: `model` set to `served_id` (a JSON string) if given, extras merged."""
    if extra.is_empty:
        return body.body if served_id is None else body.with_model(served_id)
    edits: list[Edit] = []
    members: list[bytes] = []
    for key, value in extra.required.items():
        span = body.spans.get(key)
        if span is not None:
            edits.append((*span, value))
        else:
            members.append(_encode(key) + b":" + value)
    if served_id is not None and "model" not in extra.required:
        span = body.spans.get("model")
        edits.append(body.insertion(served_id) if span is None else (*span, served_id))
    for key, value in extra.default.items():
        if key not in body.spans and not (key == "model" and served_id is not None):
            members.append(_encode(key) + b":" + value)
    if not edits and not members:
        return body.body
    return body.edited(edits, members)


def merge_extra(body: bytes, extra: ExtraBody) -> bytes:
    """Merge extras into a provider-route body if it is a JSON object; any other passes unchanged.

    Raises BadRequestError for an object with duplicate members.
    """
    try:
        parsed = read_object(body)
    except BadRequestError as error:
        if error.error_code == "invalid_json":
            return body
        raise
    return edited_body(parsed, None, extra)

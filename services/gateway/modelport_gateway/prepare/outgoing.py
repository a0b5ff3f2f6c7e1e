"""The provider's request, put together from what the client sent and what the target adds."""

from typing import NamedTuple

from modelport_gateway.parse.head import RequestHead
from modelport_gateway.parse.path import OPENAI, PROVIDER, Call, RouteKind
from modelport_gateway.prepare.body import (
    check_not_encoded,
    edited_body,
    is_encoded,
    is_json,
    merge_extra,
    no_json_body,
)
from modelport_gateway.prepare.request import CHUNKED_FRAMING, length_framing, start_of_head
from modelport_gateway.prepare.splice import JsonObject, read_object
from modelport_gateway.prepare.target import Target
from modelport_gateway.prepare.url import join_path


class Outgoing(NamedTuple):
    """What is sent at once: the whole request, or its head where the body streams through as it comes."""

    data: bytes
    streams: bool


def has_body(head: RequestHead) -> bool:
    """Say whether the head announces a body with at least the chance of a byte."""
    return head.chunked or head.content_length > 0


def reads_body(kind: RouteKind, head: RequestHead) -> bool:
    """Say whether the route must read the body, and refuse bodies that it cannot read.

    Raises BadRequestError, EncodedBodyError.
    """
    if kind is PROVIDER:
        return False
    if kind is OPENAI:
        if not has_body(head) or not is_json(head):
            raise no_json_body()
    elif not has_body(head) or not is_json(head):
        return False
    check_not_encoded(head)
    return True


def needs_whole_body(head: RequestHead, target: Target) -> bool:
    """Say whether a provider-route body is held back so that the target's extra members can be merged."""
    return not target.extra_body.is_empty and has_body(head) and is_json(head) and not is_encoded(head)


def read_body(kind: RouteKind, body: bytes) -> JsonObject | None:
    """Read the body of a model or OpenAI request. Raises BadRequestError."""
    if not body:
        # Chunked and empty: no body after all.
        if kind is OPENAI:
            raise no_json_body()
        return None
    parsed = read_object(body)
    parsed.refuse_lookalikes()
    return parsed


def outgoing(
    head: RequestHead,
    target: Target,
    call: Call,
    *,
    parsed: JsonObject | None,
    served_id: bytes | None,
    body: bytes | None,
) -> Outgoing:
    """Build the request. `body` is the client's, None where it is not complete and streams through.

    `parsed` is that body as an object where the route reads it. Raises BadRequestError where extra members cannot
    be merged.
    """
    if parsed is not None:
        body = edited_body(parsed, served_id, target.extra_body)
    elif body and not target.extra_body.is_empty and needs_whole_body(head, target):
        body = merge_extra(body, target.extra_body)
    if body is not None:
        framing = length_framing(head, len(body))
    elif head.chunked:
        framing = CHUNKED_FRAMING
    else:
        framing = length_framing(head, head.content_length)
    if call.start_target is not target:
        call.start = start_of_head(head, target, join_path(target.base, call.tail), call.query)
        call.start_target = target
    return Outgoing(b"".join((call.start, target.block[1], framing, b"\r\n", body or b"")), body is None)

"""Whether a request may pass at all, before anything is looked up."""

from dataclasses import dataclass

from modelport_gateway.errors import LoopError, UnavailableError
from modelport_gateway.parse.head import RequestHead


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes. Bodies that need not be read stream through and have no limit here."""

    max_head: int = 64 * 1024
    """Request line and headers together."""
    max_fields: int = 200
    max_read_body: int = 64 * 1024 * 1024
    """Where a body must be held whole to be read: the model and OpenAI routes, and extra bodies."""


def admit(head: RequestHead, gateway_token: bytes, *, is_serving: bool) -> None:
    """Refuse what must not pass. `gateway_token` is how this gateway signs CDN-Loop (RFC 8586).

    Raises UnavailableError, LoopError.
    """
    if not is_serving:
        raise UnavailableError("this gateway is not serving requests; try again, another one will", code="not_serving")
    if head.cdn_loop is not None and has_passed(head.cdn_loop, gateway_token):
        raise LoopError(
            "the request has passed through this gateway before: a provider's host_url leads back to it; "
            "point the provider at the model server itself"
        )


def has_passed(cdn_loop: bytes, gateway_token: bytes) -> bool:
    """Say whether a CDN-Loop value names this gateway, with or without parameters."""
    return any(member.partition(b";")[0].strip() == gateway_token for member in cdn_loop.split(b","))

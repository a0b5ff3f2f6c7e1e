"""What the routes share."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from modelport_contracts.egress import EgressAllow
from modelport_kit.http import page_request
from modelport_kit.lists import PageRequest
from modelport_models.discovery.loop import Discovery
from modelport_models.secrets_client import SecretsClient
from modelport_models.store import Stores


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes work with; filled at start."""

    stores: Stores
    secrets: SecretsClient
    discovery: Discovery
    egress_allow: EgressAllow


def parts_of(request: Request) -> Parts:
    """Return the parts of the app that a request came to."""
    parts = request.app.state.parts
    assert isinstance(parts, Parts)
    return parts


async def _parts(request: Request) -> Parts:  # else FastAPI has a thread call it
    return parts_of(request)


WithParts = Annotated[Parts, Depends(_parts)]
Listing = Annotated[PageRequest, Depends(page_request())]

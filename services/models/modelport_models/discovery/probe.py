"""One probe: `GET v1/models` of a provider, through the gateway, page after page."""

import asyncio
import json
import zlib
from typing import Any
from urllib.parse import urlencode

import httpx

from modelport_contracts.errors import ERROR_ORIGIN_HEADER, MIN_REVISION_HEADER
from modelport_models.domain import SOURCE
from modelport_models.domain.served import MAX_SERVED
from modelport_models.domain.verdict import Answer, Failing, Inconclusive, Listed, NoListing, Verdict, judge_error
from modelport_models.store.probes import DueProvider

MAX_PAGES = 50
MAX_LISTING_BYTES = 4 * 1024 * 1024
"""Of one page, unpacked. Reading as much JSON as this occupies the event loop for less than 0.1 s."""


class ProbeTimeoutError(Exception):
    """The provider took longer than the lane allows."""


async def probe(gateway: httpx.AsyncClient, provider: DueProvider, timeout_s: float) -> Verdict:
    """Ask a provider what it serves, all pages within `timeout_s` seconds. Raises ProbeTimeoutError."""
    try:
        # over the whole: the client's own timeouts start anew with every byte that a slow provider drips
        async with asyncio.timeout(timeout_s):
            return await _ask(gateway, provider, timeout_s)
    except (TimeoutError, httpx.TimeoutException):
        raise ProbeTimeoutError from None


async def _ask(gateway: httpx.AsyncClient, provider: DueProvider, timeout_s: float) -> Verdict:
    base = f"/apis/inference-gateway/v2/workspaces/{provider.workspace}/provider/{provider.name}/-/v1/models"
    headers = {MIN_REVISION_HEADER: f"{SOURCE}.{provider.revision}", "accept-encoding": "identity"}
    ids: list[str] = []
    query = ""
    for _ in range(MAX_PAGES):
        try:
            async with gateway.stream("GET", base + query, headers=headers, timeout=timeout_s) as reply:
                try:
                    body = await _read(reply)
                except (zlib.error, httpx.NetworkError, httpx.ProtocolError):
                    return Failing("the provider's answer to GET v1/models broke off or cannot be decoded")
        except httpx.TimeoutException:
            raise
        except httpx.HTTPError as error:
            return Inconclusive(f"the gateway cannot be reached: {type(error).__name__}")
        if reply.status_code != 200:
            return judge_error(_answer(reply, body), provider.secret)
        if len(body) > MAX_LISTING_BYTES:
            return NoListing(f"GET v1/models answers with more than {MAX_LISTING_BYTES // 2**20} MiB")
        page = _page(body)
        if page is None:
            return NoListing()
        ids.extend(item["id"] for item in page["data"] if isinstance(item, dict) and isinstance(item.get("id"), str))
        last = page.get("last_id")
        if page.get("has_more") is not True or not isinstance(last, str) or not last:
            return Listed(tuple(ids))
        if len(ids) > MAX_SERVED:
            break
        following = "?" + urlencode({"after" if page.get("object") == "list" else "after_id": last})
        if following == query:
            break
        query = following
    return Listed(tuple(ids), note="the provider's listing goes on past what is read")


async def _read(reply: httpx.Response) -> bytes:
    """Read a body, at most one byte past the limit. Raises zlib.error.

    Some pack what they were asked not to; a small packed body can hold gigabytes, so unpacking has the limit too.
    """
    body = bytearray()
    packed = reply.headers.get("content-encoding", "identity").strip().lower() in {"gzip", "x-gzip", "deflate"}
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32) if packed else None
    async for piece in reply.aiter_raw():
        room = MAX_LISTING_BYTES + 1 - len(body)
        body += piece[:room] if unpacking is None else unpacking.decompress(piece, room)
        if len(body) > MAX_LISTING_BYTES:
            break
    return bytes(body)


def _page(body: bytes) -> dict[str, Any] | None:
    try:
        page = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return page if isinstance(page, dict) and isinstance(page.get("data"), list) else None


def _answer(reply: httpx.Response, body: bytes) -> Answer:
    from_gateway = reply.headers.get(ERROR_ORIGIN_HEADER) == "gateway"
    code = message = ""
    if from_gateway:
        try:
            error = json.loads(body)["error"]
            code, message = str(error["code"]), str(error["message"])
        except (ValueError, KeyError, TypeError):
            message = f"the gateway answered {reply.status_code}"
    return Answer(reply.status_code, from_gateway, code, message)

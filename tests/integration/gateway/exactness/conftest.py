"""A gateway between raw bytes on both sides, shared by the tests of a module; the provider's side is recorded."""

import json
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from modelport_testing.gateway_harness import Gateway, MemoryTable
from modelport_testing.registered import add_model, add_provider, add_secret, add_virtual_model
from modelport_testing.scripted_upstream import ScriptedUpstream, answer_ok, reply_with

SECRET = "sk-dressed"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(records=True) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def vault() -> AsyncIterator[ScriptedUpstream]:
    """The secrets service: it knows one value."""
    body = json.dumps({"name": "key", "workspace": "default", "value": SECRET}).encode()
    head = b"HTTP/1.1 200 OK\r\nx-modelport-revision: secrets.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with ScriptedUpstream(reply_with(head + body), records=True) as running:
        yield running


@pytest.fixture(scope="module")
def table(shared_upstream: ScriptedUpstream) -> MemoryTable:
    """One provider as plain as can be, and one with all that a registration can add to a request's head."""
    table = MemoryTable()
    add_provider(table, shared_upstream.url, "openai")
    add_model(table, "gpt-4", ("openai", "served/gpt-4"))
    add_virtual_model(table, "gpt-4", "default/gpt-4")
    add_secret(table, "key")
    add_provider(
        table,
        shared_upstream.url,
        "dressed",
        api_key_secret_name="key",
        auth_header_format="X-Provider-Auth: Key {{ auth_secret }}!",
        default_extra_headers={"X-Default": "d\xe9faut", "X-Required": "no", "Accept": "application/json"},
        required_extra_headers={"X-Required": "yes", "via": "somebody"},
    )
    return table


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(table: MemoryTable, vault: ScriptedUpstream) -> AsyncIterator[Gateway]:
    async with Gateway(table, secrets_url=vault.url) as running:
        yield running


@pytest.fixture
def upstream(shared_upstream: ScriptedUpstream) -> Iterator[ScriptedUpstream]:
    """The provider, without memory of other tests."""
    shared_upstream.script, shared_upstream.on_head = answer_ok, None
    shared_upstream.requests.clear()
    shared_upstream.forget_recordings()
    yield shared_upstream
    assert not shared_upstream.errors

"""A NATS server for each test, and changes to send through it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from modelport_bus import Bus
from modelport_testing.servers import NatsServer, start_nats


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    with start_nats(tmp_path) as server:
        yield server


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    async with Bus(nats_server.url, name="test") as running:
        await running.wait_connected()
        yield running

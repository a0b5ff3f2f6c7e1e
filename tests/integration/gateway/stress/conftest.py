"""One gateway, a process of its own, on a real platform."""

from collections.abc import Iterator

import pytest

from modelport_testing.gateways import Fleet, start_fleet


@pytest.fixture(scope="package")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with start_fleet(tmp_path_factory.mktemp("fleet")) as running:
        yield running

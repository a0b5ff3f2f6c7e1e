"""One gateway, a process of its own, on a real platform."""

import pytest

from modelport_testing.gateways import Fleet, start_fleet
from modelport_testing.shared import Shared


@pytest.fixture(scope="module")
def fleet(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return shared.get("fleet", lambda: start_fleet(tmp_path_factory.mktemp("fleet")))

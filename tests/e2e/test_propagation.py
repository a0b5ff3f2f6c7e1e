"""A change acts on all of three gateways in no time; `make bench-propagation` measures it properly."""

import statistics
from pathlib import Path

from modelport_propagation.measure import measure
from modelport_testing.echo_provider import start_echo_provider
from modelport_testing.whole import start_whole

ROUNDS = 5
MEDIAN_MS = 500
"""Far above what is promised, on a machine that is busy with other tests: this finds what waits for a timer."""


async def test_every_kind_of_change_acts_on_all_gateways_at_once(tmp_path: Path) -> None:
    with start_echo_provider() as provider, start_whole(tmp_path / "platform", wires=False) as whole:
        urls = [gateway.url for gateway in whole.gateways]
        times = await measure(whole.url, urls, provider, ROUNDS, prepare=True)
    assert len(times) == 9
    for kind, one in times.items():
        assert len(one.applied) == ROUNDS
        assert statistics.median(one.applied) < MEDIAN_MS, kind

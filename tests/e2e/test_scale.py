"""Many providers and models, in a short form; `make bench-scale` measures it properly."""

import statistics
from pathlib import Path

import pytest

from modelport_scale.table import measure_table
from modelport_testing.many_providers import discover
from modelport_testing.postgres import PostgresServer


@pytest.mark.timeout(300)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_large_table(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> None:
    postgres = request.getfixturevalue("postgres") if database == "postgresql" else None
    figures = measure_table(tmp_path, 1000 if postgres is None else 500, 4, 300, postgres)
    assert figures.known_requests > 0
    assert (figures.known_failures, figures.false_absences) == (0, 0)
    assert figures.rebuild_s < 60
    assert min(figures.start_s) < 10
    assert statistics.median(figures.change_ms) < 1000
    # a gateway knows what was called, not what there is
    assert figures.memory_used_mib - figures.memory_mib < 30


@pytest.mark.timeout(200)
async def test_dead_and_slow_providers_hold_up_no_others(postgres: PostgresServer, tmp_path: Path) -> None:
    figures = await discover(tmp_path, postgres, 100, 10, 10)
    assert figures.all_good_s < 20, "2.5 s where nobody else uses the machine"
    # a good one that misses the first lane, on a busy machine, is asked once more; replicas that do not share ask it
    # both at the same time
    assert figures.good <= figures.asked["good"] < 3 * figures.good
    assert figures.good_doubled < 0.25 * figures.good
    assert figures.asked["slow"] < 3 * figures.slow
    assert all(figures.by_replica), figures.by_replica

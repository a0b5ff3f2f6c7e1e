"""The failure matrix in its short form; `make faults` runs every row in full length (docs/reliability.md)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from modelport_faults.run import Stage, play, stage
from modelport_faults.scenarios import scenarios

ROWS = {row.name: row for row in scenarios(Path("/nowhere")) if row.short_s is not None and row.setting == "postgresql"}


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A platform for one row after the other: each leaves it as it was, or the next one says so."""
    folder = tmp_path_factory.mktemp("faults")
    with stage(folder / "platform", "postgresql", folder / "offset") as running:
        yield running


@pytest.mark.parametrize("name", ROWS)
async def test_nothing_fails_and_nothing_is_lost(name: str, on: Stage) -> None:
    row = ROWS[name]
    outcome = await play(on, row, row.short_s or 0)
    assert outcome.is_good, outcome
    assert outcome.answered > 0
    assert outcome.tried > 0, "nobody tried to change anything meanwhile"
    # Whoever sees no harm to the gateway that it happened to sees nothing.
    assert bool(outcome.broken) == (name == "gateway-killed"), outcome

"""docs/security.md names a test for each attack; it is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| .* \| (\S+) \|$", re.MULTILINE)


def test_every_line_of_the_threat_model_names_a_test_that_exists() -> None:
    table = (ROOT / "docs/security.md").read_text().partition("## Who attacks")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
    named = ROW.findall("\n".join(lines))
    assert len(named) == len(lines) > 20
    for one in named:
        file, _, name = one.partition("::")
        assert re.search(rf"^(async )?def {re.escape(name)}\(", (ROOT / file).read_text(), re.MULTILINE), one

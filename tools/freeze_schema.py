"""Keeps the databases of a release for the tests of later ones: `tools/freeze_schema.py 0.1.0`.

Run it when a release is tagged, and commit the new folder of tests/schemas. From then on the migrations in it may not
be changed any more: what comes is another migration. Needs PostgreSQL's programs.
"""

import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/support"))

from modelport_testing.frozen import SCHEMAS, freeze
from modelport_testing.postgres import start_postgres


def main() -> None:
    """Freeze today's schema under the name of a release."""
    release = sys.argv[1] if len(sys.argv) == 2 else ""
    if not re.fullmatch(r"\d+\.\d+\.\d+", release):
        sys.exit("usage: tools/freeze_schema.py RELEASE, such as 0.1.0")
    if (SCHEMAS / release).exists():
        sys.exit(f"{release} is frozen already; a release's schema does not change")
    with start_postgres() as postgres, tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(f"{freeze(release, postgres, Path(folder)).name}: commit tests/schemas/{release}\n")


if __name__ == "__main__":
    main()

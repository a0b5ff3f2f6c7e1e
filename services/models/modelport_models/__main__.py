"""`python -m modelport_models` serves; `python -m modelport_models migrate` brings the database up to date."""

import sys

from modelport_kit.lifecycle import run_service
from modelport_models.app import main, migrate_only

if __name__ == "__main__":
    run_service(migrate_only if sys.argv[1:] == ["migrate"] else main, name="modelport_models")

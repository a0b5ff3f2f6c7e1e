"""`python -m modelport_cli`."""

from modelport_cli.main import run

run()

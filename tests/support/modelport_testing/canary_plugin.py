"""The end of a run: what all its processes have searched for canaries, and whether they found any (pytest plugin).

`MODELPORT_CANARIES_WHOLE=1` says that the whole suite runs: then it fails, too, where a place was not searched at all.
"""

import logging
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from modelport_testing.canaries import FOLDER_VARIABLE, Outcome, RecordSearch, hunt

WHOLE_VARIABLE = "MODELPORT_CANARIES_WHOLE"
_OUTCOME = pytest.StashKey[Outcome]()


def _is_worker() -> bool:
    return "PYTEST_XDIST_WORKER" in os.environ


def pytest_configure() -> None:
    """Make the run's folder before its workers start, which are told of it by their environment."""
    if not _is_worker():
        os.environ[FOLDER_VARIABLE] = tempfile.mkdtemp(prefix="modelport-canaries-")
    hunt().folder = Path(os.environ[FOLDER_VARIABLE])
    logging.getLogger().addHandler(RecordSearch())


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run where a canary was found; xdist calls this in the controller when all workers have ended."""
    hunt().write_down()
    if _is_worker():
        return
    folder = Path(os.environ.pop(FOLDER_VARIABLE))
    hunt().folder = None
    outcome = session.config.stash[_OUTCOME] = Outcome.read(folder, whole=bool(os.environ.get(WHOLE_VARIABLE)))
    shutil.rmtree(folder)
    if outcome.is_bad and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was searched, and what was found."""
    outcome = config.stash.get(_OUTCOME, None)
    if outcome is not None:
        terminalreporter.section("canaries")
        for line in outcome.lines():
            terminalreporter.line(line, red=line.startswith(("FOUND", "TOO LITTLE")))

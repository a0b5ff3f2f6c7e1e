"""The audit of `make check`, on lock files and an advisory source of the test's own."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[3] / "tools" / "audit.py"
NOWHERE = "http://127.0.0.1:1/v1/query"
HASH = f"--hash=sha256:{'0' * 64}"
BAD = {
    "id": "PYSEC-2999-1",
    "aliases": ["CVE-2999-1"],
    "summary": "It leaks.",
    "affected": [
        {
            "package": {"name": "leaky", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}


def audit(locks: Path, *options: str, source: str = NOWHERE) -> "subprocess.CompletedProcess[str]":
    command: list[str | Path] = [sys.executable, TOOL, "--locks", locks, "--source", source, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    """A folder in which the runtime's lock holds a package with a vulnerability and one without."""
    (tmp_path / "runtime.txt").write_text(f"leaky==1.0 {HASH}\nsound==2.0 {HASH}\n")
    return tmp_path


@pytest.fixture
def source() -> Iterator[str]:
    """An advisory source that knows of leaky 1.0."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["content-length"])))
            is_bad = (query["package"]["name"], query["version"]) == ("leaky", "1.0")
            body = json.dumps({"vulns": [BAD]} if is_bad else {}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()
        thread.join()


def test_what_is_recorded_fails_the_check_wherever_it_runs(locks: Path, source: str) -> None:
    done = audit(locks, "--record", source=source)
    assert done.returncode == 1, "recording says what it found"
    recorded = json.loads((locks / "advisories.json").read_text())
    assert set(recorded["answers"]) == {"leaky==1.0", "sound==2.0"}
    assert recorded["taken"] in done.stdout

    done = audit(locks)
    assert done.returncode == 1
    assert "leaky 1.0: PYSEC-2999-1, CVE-2999-1, mended in 1.1: It leaks." in done.stdout
    assert "NOT AUDITED" not in done.stdout

    (locks / "runtime.txt").write_text(f"leaky==1.1 {HASH}\nsound==2.0 {HASH}\n")
    done = audit(locks)
    assert done.returncode == 0, "what was locked since could not be asked about"
    assert "packages NOT AUDITED: 1." in done.stdout


def test_a_source_that_is_away_is_said_and_no_failure(locks: Path) -> None:
    done = audit(locks)
    assert done.returncode == 0, done.stderr
    assert "packages NOT AUDITED: 2." in done.stdout
    assert "Run `make advisories` where it can be" in done.stdout
    done = audit(locks, "--record")
    assert done.returncode == 1
    assert f"{NOWHERE} cannot be asked" in done.stderr
    assert not (locks / "advisories.json").exists()


def test_a_vulnerability_of_what_ours_is_compared_with_is_no_failure(locks: Path, source: str) -> None:
    (locks / "runtime.txt").rename(locks / "bench-other.txt")
    done = audit(locks, source=source)
    assert done.returncode == 0, done.stderr
    assert "no failure, only what ours is compared with: leaky 1.0" in done.stdout


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("runtime.txt", "leaky==1.0\n", "pip-audit cannot read runtime.txt"),
        ("advisories.json", "{", "advisories.json is damaged"),
    ],
)
def test_what_cannot_be_read_is_named(locks: Path, file: str, text: str, message: str) -> None:
    (locks / file).write_text(text)
    done = audit(locks)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr

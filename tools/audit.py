"""Looks for known vulnerabilities among the locked packages: pip-audit, over recorded answers of an advisory source.

    python tools/audit.py            part of `make check`: exit 1 where a package that we use has a known vulnerability
    python tools/audit.py --record   `make advisories`: ask about every package anew and record the answers, dated

What is recorded decides, so that the same checkout gives the same result everywhere and at any time. A package that
was locked after the recording is asked about; where the source cannot be reached, that is said and is no failure
(docs/adr/0016-least-rights.md).
"""

import argparse
import datetime
import http.client
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LOCKS = Path(__file__).resolve().parent.parent / "requirements"
OURS = ("runtime", "server", "build", "dev", "fuzz")
"""What we ship, build and check with. The other locks are of programs that ours is compared with, as published."""
SOURCE = "https://api.osv.dev/v1/query"
TIMEOUT_S = 5.0
PATIENCE_S = 8.0
"""For so long a check asks about what is not recorded; hundreds of packages are for `make advisories`."""
_USED = ("id", "aliases", "summary", "published", "withdrawn", "schema_version")

Vulnerabilities = list[dict[str, Any]]


class AuditError(Exception):
    """The message is for whoever runs the audit."""


class Answers:
    """What the advisory source says of each version of a package: recorded, or asked for."""

    def __init__(self, recorded: dict[str, Vulnerabilities], source: str, patience_s: float) -> None:
        self._recorded = recorded
        self._source = source
        self._patience_s = patience_s
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self.asked: dict[str, Vulnerabilities] = {}
        self.unknown: set[str] = set()
        """Neither recorded, nor could the source be asked."""
        self.trouble: str | None = None
        """Why the source could not be asked; after that it is asked no more."""

    def of(self, query: dict[str, Any]) -> Vulnerabilities:
        """Return the vulnerabilities of what a query names, none where they cannot be known."""
        pin = f"{query['package']['name']}=={query['version']}"
        with self._lock:
            for known in (self._recorded, self.asked):
                if pin in known:
                    return known[pin]
            if time.monotonic() - self._began > self._patience_s:
                self.trouble = self.trouble or f"asking took longer than {self._patience_s:g} s"
            if self.trouble is None:
                try:
                    self.asked[pin] = self._ask(query)
                    return self.asked[pin]
                except (OSError, http.client.HTTPException, ValueError) as error:
                    self.trouble = str(error) or type(error).__name__
            self.unknown.add(pin)
            return []

    def _ask(self, query: dict[str, Any]) -> Vulnerabilities:
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self._source, json.dumps(query).encode(), headers)  # noqa: S310 (an http URL)
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:  # noqa: S310
            answer = json.load(reply)
        if not isinstance(answer, dict) or answer.get("next_page_token"):
            raise ValueError("it answered with something else than one page of vulnerabilities")
        return [_trimmed(vulnerability) for vulnerability in answer.get("vulns", [])]


def main(arguments: list[str]) -> int:
    """Audit, or record."""
    parser = argparse.ArgumentParser(description="look for known vulnerabilities among the locked packages")
    parser.add_argument("--record", action="store_true", help="ask about every package anew and record the answers")
    parser.add_argument("--locks", type=Path, default=LOCKS, help="the folder of lock files and of advisories.json")
    parser.add_argument("--source", default=SOURCE, help="the advisory source's address, which speaks OSV's protocol")
    options = parser.parse_args(arguments)
    try:
        return audit(options.locks, options.source, anew=options.record)
    except (AuditError, OSError) as error:
        sys.stderr.write(f"audit: {error}\n")
        return 1


def audit(locks: Path, source: str, *, anew: bool) -> int:
    """Look through all lock files; with `anew`, record what the source says."""
    record = locks / "advisories.json"
    taken, recorded = (None, {}) if anew else _read(record)
    answers = Answers(recorded, source, math.inf if anew else PATIENCE_S)
    files = sorted(locks.glob("*.txt"))
    # The others each by itself: they lock different versions of the same packages.
    together = [[file for file in files if file.stem in OURS], *([file] for file in files if file.stem not in OURS)]
    with ThreadPoolExecutor(2) as pool:
        found, *others = pool.map(lambda locked: _found(answers, locked), together)
    compared = {line for lines in others for line in lines}
    if anew:
        if answers.trouble is not None:
            raise AuditError(f"{source} cannot be asked ({answers.trouble}); {record.name} stays as it is")
        taken = datetime.datetime.now(datetime.UTC).date().isoformat()
        content = {"taken": taken, "source": source, "answers": answers.asked}
        record.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    for line in found:
        sys.stdout.write(f"audit: {line}\n")
    for line in sorted(compared - set(found)):
        sys.stdout.write(f"audit: no failure, only what ours is compared with: {line}\n")
    if answers.unknown:
        sys.stdout.write(
            f"audit: packages NOT AUDITED: {len(answers.unknown)}. Nothing is recorded of them, and {source} could not"
            f" be asked ({answers.trouble}). Run `make advisories` where it can be, and commit {record.name}\n"
        )
    since = f"advisories of {taken}" if taken else "no advisories recorded"
    sys.stdout.write(f"audit: {len(found)} known vulnerabilities in what we use ({since})\n")
    return 1 if found else 0


def _read(record: Path) -> tuple[str | None, dict[str, Vulnerabilities]]:
    if not record.exists():
        return None, {}
    try:
        content = json.loads(record.read_text())
        return content["taken"], content["answers"]
    except (ValueError, KeyError, TypeError) as error:
        raise AuditError(f"{record} is damaged ({error!r}): restore it with git, or run `make advisories`") from None


def _found(answers: Answers, locks: Sequence[Path]) -> list[str]:
    """Let pip-audit judge; return a line for each vulnerability."""
    if not locks:
        return []
    with _served(answers) as url, tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--progress-spinner=off"]
        command += ["--vulnerability-service=osv", f"--osv-url={url}", f"--cache-dir={folder}/cache"]
        command += ["--format=json", f"--output={report}", *(f"--requirement={lock}" for lock in locks)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own command)
        if not report.exists():
            reason = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2]
            raise AuditError(f"pip-audit cannot read {', '.join(lock.name for lock in locks)}: {reason}")
        packages = json.loads(report.read_text())["dependencies"]
    if skipped := [package for package in packages if "skip_reason" in package]:
        raise AuditError(f"pip-audit left out {skipped[0]['name']}: {skipped[0]['skip_reason']}")
    return sorted({_line(package, found) for package in packages for found in package["vulns"]})


def _line(package: dict[str, Any], found: dict[str, Any]) -> str:
    names = ", ".join([found["id"], *found["aliases"]])
    remedy = f"mended in {', '.join(found['fix_versions'])}" if found["fix_versions"] else "not mended yet"
    return f"{package['name']} {package['version']}: {names}, {remedy}: {found.get('description', '')}"


def _trimmed(vulnerability: dict[str, Any]) -> dict[str, Any]:
    """Leave what pip-audit reads: of the affected packages only where each was mended."""
    affected = [
        {"package": one["package"], "ranges": one.get("ranges", [])}
        for one in vulnerability.get("affected", [])
        if one.get("package", {}).get("ecosystem") == "PyPI"
    ]
    return {name: vulnerability[name] for name in _USED if name in vulnerability} | {"affected": affected}


@contextmanager
def _served(answers: Answers) -> Iterator[str]:
    """Answer pip-audit on this machine, as the advisory source would."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["content-length"])))
            found = answers.of(query)
            body = json.dumps({"vulns": found} if found else {}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing of each request."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/query"
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Running wrk and reading what it says."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

_MARK = "measured: "
_TIMEOUT_S = 10
"""Of a request; wrk's own 2 s are less than what other gateways may take of 32 at once while they warm up."""

# wrk sends what wrk.format returns, once per connection and unchanged: the header order is ours, which a Lua table's
# is not. The figures are printed here because wrk's own report rounds them.
_SCRIPT = """
local file = io.open("%(request)s", "rb")
local request = file:read("*a")
file:close()
function wrk.format() return request end
function done(summary, latency, requests)
  io.write(string.format('%(mark)s{"requests":%%d,"duration_us":%%d,"bytes":%%d,"p50_us":%%d,"p90_us":%%d,'
    .. '"p99_us":%%d,"max_us":%%d,"connect":%%d,"read":%%d,"write":%%d,"status":%%d,"timeout":%%d}\\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency.max, summary.errors.connect, summary.errors.read, summary.errors.write,
    summary.errors.status, summary.errors.timeout))
end
"""


class LoadError(Exception):
    """A load did not run, or not all of its requests were answered well."""


@dataclass(frozen=True)
class Load:
    """What one run of wrk saw. Times in microseconds."""

    requests: int
    duration_us: int
    bytes: int
    p50_us: int
    p90_us: int
    p99_us: int
    max_us: int

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.duration_us * 1_000_000


def parse(output: str) -> Load:
    """Read wrk's output. Raises LoadError where figures are missing or a request failed."""
    _, mark, rest = output.partition(_MARK)
    if not mark:
        raise LoadError(f"wrk printed no figures:\n{output}")
    figures: dict[str, int] = json.loads(rest.partition("\n")[0])
    failures = {name: figures.pop(name) for name in ("connect", "read", "write", "status", "timeout")}
    if any(failures.values()):
        told = ", ".join(f"{count} {name}" for name, count in failures.items() if count)
        raise LoadError(f"wrk counted errors ({told}) beside {figures['requests']} requests")
    if figures["requests"] == 0:
        raise LoadError("wrk had no request answered")
    return Load(**figures)


def run(folder: Path, url: str, request: bytes, connections: int, seconds: float) -> Load:
    """Send `request` to `url`'s host from one thread, over and over; raise LoadError if any failed."""
    (folder / "request").write_bytes(request)
    script = folder / "load.lua"
    script.write_text(_SCRIPT % {"request": folder / "request", "mark": _MARK})
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", f"{_TIMEOUT_S}s"]
    command += ["-s", str(script), url]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 30)
    except subprocess.TimeoutExpired:
        raise LoadError(f"wrk did not end: {url}") from None
    if done.returncode != 0:
        raise LoadError(f"{url}: {done.stderr.strip() or done.stdout.strip()}")
    try:
        return parse(done.stdout)
    except LoadError as error:
        raise LoadError(f"{url}: {error}") from None

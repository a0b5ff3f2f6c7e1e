"""Measures the first things a user notices, and writes docs/benchmarks.md: `make bench`.

Start time of the whole stack; time from `providers create` to the first answered request; requests per second of
each route, in rounds that alternate with nginx as plain reverse proxy and with the upstream directly, so that what
is quoted are ratios within one run. Everything on loopback, bounded in time; needs wrk and nginx.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from modelport_testing.polling import eventually_sync
from modelport_testing.stack import LocalStack

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = 32
REPLY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "gpt-4",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    }
)
LISTING = json.dumps({"object": "list", "data": [{"id": "gpt-4", "object": "model"}]})
BODY = '{"model":"gpt-4","messages":[{"role":"user","content":"Hello, how are you doing today?"}],"max_tokens":100}'
WRK = f"""
wrk.method = "POST"
wrk.body = '{BODY}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer client"
"""
NGINX = """
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 10000000; default_type application/json;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  {servers}
}}
"""
UPSTREAM = """
  server {{ listen 127.0.0.1:{port};
    location = /v1/models {{ return 200 '{listing}'; }}
    location / {{ return 200 '{reply}'; }} }}
"""
PROXY = """
  upstream provider {{ server 127.0.0.1:{upstream}; keepalive 64; }}
  server {{ listen 127.0.0.1:{port};
    location / {{ proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}
"""


def free_port() -> int:
    """Pick a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def nginx(folder: Path, servers: str, port: int) -> Iterator[None]:
    """Run nginx with one worker until the block ends."""
    folder.mkdir()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, servers=servers))
    process = subprocess.Popen(["nginx", "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(config)])
    try:
        eventually_sync(lambda: _accepts(port), 10)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def requests_per_second(url: str, seconds: float, script: Path) -> float:
    """Load a URL and return what it answered per second. Raises RuntimeError where a reply was no success."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "-s", str(script), url]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"{url}:\n{output}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", output)
    assert found is not None, output
    return float(found[1])


def time_to_first_answer(client: httpx.Client, host_url: str, times: int) -> list[float]:
    """Register providers one after another; return for each the seconds until its first request was answered."""
    found = []
    base = "/apis/models/v2/workspaces/default/providers"
    for number in range(times):
        name = f"bench-{number}"
        started = time.perf_counter()
        client.post(base, json={"name": name, "host_url": host_url}).raise_for_status()
        path = f"/apis/inference-gateway/v2/workspaces/default/provider/{name}/-/v1/chat/completions"
        while client.post(path, content=BODY, headers={"content-type": "application/json"}).status_code != 200:
            if time.perf_counter() - started > 10:
                raise RuntimeError(f"{name} does not answer")
        found.append(time.perf_counter() - started)
        client.delete(f"{base}/{name}").raise_for_status()
    return found


def measure(folder: Path, rounds: int, seconds: float, starts: int) -> dict[str, Any]:
    """Run everything and return the figures."""
    script = folder / "post.lua"
    script.write_text(WRK)
    upstream_port, proxy_port = free_port(), free_port()
    upstream = UPSTREAM.format(port=upstream_port, listing=LISTING, reply=REPLY)
    proxy = PROXY.format(upstream=upstream_port, port=proxy_port)
    host_url = f"http://127.0.0.1:{upstream_port}"
    stack = LocalStack(folder / "data", folder / "console.txt")
    start_times = []
    with nginx(folder / "upstream", upstream, upstream_port), nginx(folder / "proxy", proxy, proxy_port):
        try:
            for _ in range(starts):
                stack.start()
                start_times.append(stack.seconds_to_ready)
                if len(start_times) < starts:
                    stack.stop()
            with httpx.Client(base_url=stack.base_url, timeout=30, trust_env=False) as client:
                first = time_to_first_answer(client, host_url, 50)
                _register(client, host_url)
            inference = f"{stack.base_url}/apis/inference-gateway/v2/workspaces/default"
            tail = "v1/chat/completions"
            targets = {
                "upstream, directly": f"{host_url}/{tail}",
                "nginx as reverse proxy": f"http://127.0.0.1:{proxy_port}/{tail}",
                "provider route": f"{inference}/provider/bench/-/{tail}",
                "model route": f"{inference}/model/gpt-4/-/{tail}",
                "OpenAI route": f"{inference}/openai/-/{tail}",
            }
            rates: dict[str, list[float]] = {name: [] for name in targets}
            for url in targets.values():
                requests_per_second(url, 1, script)
            for _ in range(rounds):
                for name, url in targets.items():
                    rates[name].append(requests_per_second(url, seconds, script))
        finally:
            stack.close()
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, "
        f"Python {platform.python_version()}",
        "commit": _commit(),
        "rounds": rounds,
        "seconds": seconds,
        "connections": CONNECTIONS,
        "start_s": start_times,
        "create_to_first_answer_s": first,
        "requests_per_second": rates,
    }


def _register(client: httpx.Client, host_url: str) -> None:
    body = {"name": "bench", "host_url": host_url}
    client.post("/apis/models/v2/workspaces/default/providers", json=body).raise_for_status()
    listing = "/apis/inference-gateway/v2/workspaces/default/openai/-/v1/models/gpt-4"
    eventually_sync(lambda: client.get(listing).status_code == 200, 10)


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def table(figures: dict[str, Any]) -> str:
    """Put the figures into Markdown."""
    rates = {name: statistics.median(values) for name, values in figures["requests_per_second"].items()}
    base = rates["nginx as reverse proxy"]
    first = sorted(figures["create_to_first_answer_s"])
    p99 = first[min(len(first) - 1, int(len(first) * 0.99))]
    lines = [
        (
            f"Machine: {figures['machine']}. Commit {figures['commit']}. "
            "Load generator, upstream, nginx and Modelport share the cores."
        ),
        "",
        "| | |",
        "|---|---|",
        (
            f"| start of the whole stack, until it takes requests (median of {len(figures['start_s'])}) "
            f"| {statistics.median(figures['start_s']):.1f} s |"
        ),
        (
            f"| `providers create` to the first answered request (median of {len(first)}) "
            f"| {statistics.median(first) * 1000:.0f} ms |"
        ),
        f"| the same, 99th percentile | {p99 * 1000:.0f} ms |",
        "",
        (
            f"{figures['connections']} connections, {len(BODY)} bytes up, {len(REPLY)} bytes down, "
            f"{figures['rounds']} rounds of {figures['seconds']:g} s each, in turn; medians."
        ),
        "",
        "| | requests/s | of nginx |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {rate:,.0f} | {rate / base:.2f} |" for name, rate in rates.items()]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="length of one round of one target")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and docs/benchmarks.json")
    options = parser.parse_args()
    missing = [program for program in ("wrk", "nginx") if shutil.which(program) is None]
    if missing:
        print(f"{' and '.join(missing)} missing: apt-get install wrk nginx-light (Debian)", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="modelport-bench-") as folder:
        figures = measure(Path(folder), options.rounds, options.seconds, options.starts)
    print(table(figures))
    if options.write:
        (ROOT / "docs/benchmarks.json").write_text(json.dumps(figures, indent=1) + "\n")
        page = ROOT / "docs/benchmarks.md"
        head, _, _ = page.read_text().partition("<!-- figures -->")
        page.write_text(f"{head}<!-- figures -->\n\n{table(figures)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

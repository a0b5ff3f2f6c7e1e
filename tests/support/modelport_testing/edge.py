"""The compose stack's edge, deploy/haproxy, as a process of this machine before gateways at fixed addresses."""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from modelport_testing.running import NativeProcess, free_port, says
from modelport_testing.servers import TestServer

CONFIG = Path(__file__).parents[3] / "deploy" / "haproxy" / "haproxy.cfg"
_READY_REQUEST = b"GET /health/ready HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"


def render(config: str, *, port: int, internal_port: int, gateways: Sequence[str]) -> str:
    """Put this machine's addresses in the place of the compose network's; all else stays as it is deployed."""
    for pattern, replacement, times in (
        (r"^resolvers .*\n(?:    .*\n)+", "", 1),  # there is no Docker to ask
        (r"^    bind :8080$", f"    bind 127.0.0.1:{port}", 1),
        (r"^    bind 127\.0\.0\.1:8404$", f"    bind 127.0.0.1:{internal_port}", 1),
        (r"^    server-template .*\n", "".join(f"    server {at.replace(':', '-')} {at}\n" for at in gateways), 2),
    ):
        config, count = re.subn(pattern, replacement, config, flags=re.MULTILINE)
        assert count == times, f"{pattern} matches {count} times in {CONFIG}"
    return config


def find_haproxy() -> str:
    """Return HAProxy's path. AssertionError where it is missing."""
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    assert found is not None, "HAProxy is missing: apt-get install haproxy (Debian), brew install haproxy (macOS)"
    return found


@contextmanager
def start_edge(folder: Path, gateways: Sequence[str], port: int | None = None) -> Iterator[TestServer]:
    """Run the edge before gateways (`address:port`), ready when one of them is; on a free port unless one is given."""
    port, internal_port = port or free_port(), free_port()
    rendered = folder / "haproxy.cfg"
    rendered.write_text(render(CONFIG.read_text(), port=port, internal_port=internal_port, gateways=gateways))
    process = NativeProcess([find_haproxy(), "-db", "-f", rendered], folder / "haproxy.log")
    with TestServer(process, port, lambda: says(internal_port, _READY_REQUEST, b"HTTP/1.1 200")) as edge:
        edge.start()
        yield edge

"""nginx, twice: as the upstream and as the plain reverse proxy that Modelport is held against."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelport_bench import proc
from modelport_bench.workload import LISTING, REPLIES, TAIL
from modelport_testing.polling import eventually_sync

_CONFIG = """
{user} worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; default_type application/json; sendfile on; tcp_nopush on;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  client_body_buffer_size 16k; open_file_cache max=16;
  {server}
}}
"""
# A file answers GET alone; as the page of the error 405 it answers POST too.
_UPSTREAM = """
  server {{ listen 127.0.0.1:{port} backlog=1024; root {folder};
    error_page 405 =200 $uri;
    location = /v1/models {{ return 200 '{listing}'; }}
    location = /{tail} {{ return 200 '{reply}'; }} }}
"""
# Everything at its default, but a connection to the upstream is kept, replies never go to disk, and event streams
# are not held back.
_PROXY = """
  upstream provider {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; }}
  upstream streams {{ server 127.0.0.1:{streams}; keepalive 256; }}
  server {{ listen 127.0.0.1:{port} backlog=1024;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_max_temp_file_size 0;
    location /streams/ {{ proxy_pass http://streams/; proxy_buffering off; }}
    location / {{ proxy_pass http://provider; }} }}
"""


class StartError(Exception):
    """Something that is needed for measuring did not start."""


@dataclass(frozen=True)
class Nginx:
    """An nginx that runs."""

    port: int
    worker: int
    """The process id of its one worker."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


def free_port() -> int:
    """Pick a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def upstream(folder: Path) -> Iterator[Nginx]:
    """Run the provider: constant replies of three sizes and a listing of models."""
    folder.mkdir()
    (folder / TAIL).mkdir(parents=True)
    small, *large = REPLIES.items()
    for name, reply in large:
        (folder / TAIL / name.replace(" ", "")).write_bytes(reply)
    port = free_port()
    server = _UPSTREAM.format(port=port, folder=folder, listing=LISTING.decode(), tail=TAIL, reply=small[1].decode())
    with _running(folder, server, port) as process:
        yield process


@contextlib.contextmanager
def reverse_proxy(folder: Path, upstream_port: int, streams_port: int) -> Iterator[Nginx]:
    """Run the proxy; what comes under /streams/ goes to `streams_port`, all else to `upstream_port`."""
    folder.mkdir()
    port = free_port()
    with _running(folder, _PROXY.format(upstream=upstream_port, streams=streams_port, port=port), port) as process:
        yield process


@contextlib.contextmanager
def _running(folder: Path, server: str, port: int) -> Iterator[Nginx]:
    config = folder / "nginx.conf"
    # The worker of an nginx started by root would run as nobody, which may not look into a private folder.
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(_CONFIG.format(folder=folder, server=server, user=user))
    command = ["nginx", "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(config)]
    process = subprocess.Popen(command)
    try:
        eventually_sync(lambda: process.poll() is not None or accepts(port), 10)
        if process.poll() is not None:
            raise StartError(f"nginx ended with {process.returncode}: {(folder / 'error.log').read_text()}")
        (worker,) = proc.children(process.pid)
        yield Nginx(port, worker)
    finally:
        process.terminate()
        process.wait(10)


def accepts(port: int) -> bool:
    """Tell whether something takes connections on a port of this machine."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False

"""The soak: does a gateway that is busy for long need more and more memory?"""

import itertools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from modelport_bench import proc, sse, wrk
from modelport_bench.figures import Soak
from modelport_bench.workload import (
    INFERENCE,
    MAIN,
    MODEL_ROUTE,
    OPENAI_ROUTE,
    PROVIDER_ROUTE,
    ROUTES,
    SSE_PROVIDER,
    TAIL,
    Case,
)

_STEP_S = 5
_STREAMS = 64
_MAX_LOG_BYTES = 256 * 1024 * 1024
_STEPS = (
    (PROVIDER_ROUTE, MAIN),
    (OPENAI_ROUTE, MAIN),
    (MODEL_ROUTE, Case(256)),
    (PROVIDER_ROUTE, Case(32, reply="10 KB")),
    (OPENAI_ROUTE, Case(32, large_request=True)),
    (PROVIDER_ROUTE, Case(32, reply="1 MB")),
)


def soak(folder: Path, base_url: str, gateway: int, log: Path, minutes: float, tell: Callable[[str], None]) -> Soak:
    """Load every kind of request in turn for `minutes`; note the gateway's memory once a second.

    The access log at `log` is emptied when it grows large: the disk is not what is measured.
    """
    seen = Soak()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1):
            seen.rss_mib.append(proc.memory_mib(gateway))
            if log.stat().st_size > _MAX_LOG_BYTES:
                os.truncate(log, 0)

    watcher = threading.Thread(target=watch, name="soak")
    watcher.start()
    end = time.monotonic() + minutes * 60
    try:
        for number, step in enumerate(itertools.cycle((*_STEPS, None))):
            if time.monotonic() >= end:
                break
            if number % 12 == 0:
                tell(f"soak, {max(0, end - time.monotonic()) / 60:.1f} minutes to go")
            if step is None:
                _streams(base_url)
            else:
                route, case = step
                url = f"{base_url}{ROUTES[route]}/{case.tail}"
                parts = urlsplit(url)
                wrk.run(folder, url, case.request(parts.netloc, parts.path), case.connections, _STEP_S)
    finally:
        ended.set()
        watcher.join()
    return seen


def _streams(base_url: str) -> None:
    host = urlsplit(base_url).netloc
    path = f"{INFERENCE}/provider/{SSE_PROVIDER}/-/{TAIL}"
    events = _STEP_S * 1000 // sse.EVERY_MS
    sse.run(host, path, MAIN.request(host, path), streams=_STREAMS, events=events)

"""Other gateways in front of the same upstream, each one process, set to do as little as it can be."""

import contextlib
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from modelport_bench.installed import node_packages, python_environment
from modelport_bench.nginx import StartError, free_port
from modelport_bench.rounds import Target
from modelport_bench.workload import MAIN, MODEL, OPENAI_ROUTE, PROVIDER, PROVIDER_ROUTE, ROUTES, TAIL
from modelport_testing.polling import eventually_sync

ROOT: Final = Path(__file__).resolve().parents[3]
_START_TIMEOUT_S = 120
_LOAD_S = 4
_PLATFORM_SERVICES = "models,entities,inference-gateway,secrets,auth"


@dataclass(frozen=True)
class OtherGateway:
    """Another gateway that runs."""

    target: Target
    pid: int
    version: str
    configured: str
    compared_with: str
    """Our route that does the like."""


@contextlib.contextmanager
def litellm(folder: Path, upstream: str) -> Iterator[OtherGateway]:
    """Run LiteLLM's proxy. Raises StartError."""
    environment = python_environment("litellm", ROOT / "requirements/bench-litellm.txt")
    port, key = free_port(), f"sk-{secrets.token_urlsafe(24)}"
    config = folder / "litellm.yaml"
    config.write_text(
        f"model_list:\n- model_name: {MODEL}\n"
        f"  litellm_params: {{model: openai/{MODEL}, api_base: '{upstream}/v1', api_key: upstream}}\n"
        "litellm_settings: {telemetry: false}\n"
    )
    command = [str(environment / "bin/litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    # Its master key may not be unset; the list of prices would be fetched at start; a log line per request is off.
    variables = {"LITELLM_MASTER_KEY": key, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    command += ["--num_workers", "1", "--telemetry", "False"]
    url = f"http://127.0.0.1:{port}"
    with _running(command, folder, "litellm", variables) as process:
        target = Target(url, (process.pid,), (("authorization", f"Bearer {key}"),), MAIN, _LOAD_S)
        _await(process, target, folder / "litellm.log")
        yield OtherGateway(
            target,
            process.pid,
            _python_version(environment, "litellm"),
            "one worker, no database, a master key, telemetry off, log level error",
            OPENAI_ROUTE,
        )


@contextlib.contextmanager
def portkey(folder: Path, upstream: str) -> Iterator[OtherGateway]:
    """Run Portkey's gateway. Raises StartError."""
    packages = node_packages("portkey", ROOT / "tests/bench/portkey")
    port = free_port()
    program = packages / "node_modules/@portkey-ai/gateway/build/start-server.js"
    command = ["node", "--require", str(packages / "loopback.cjs"), str(program), f"--port={port}", "--headless"]
    headers = (("x-portkey-provider", "openai"), ("x-portkey-custom-host", f"{upstream}/v1"))
    with _running(command, folder, "portkey", {"NODE_ENV": "production"}) as process:
        target = Target(f"http://127.0.0.1:{port}", (process.pid,), headers, MAIN, _LOAD_S)
        _await(process, target, folder / "portkey.log")
        version = subprocess.run(
            ["node", "-p", f"require('{packages}/node_modules/@portkey-ai/gateway/package.json').version"],
            capture_output=True,
            text=True,
            check=True,
        )
        configured = "headless; provider openai and the upstream as custom host, by request header"
        yield OtherGateway(target, process.pid, version.stdout.strip(), configured, OPENAI_ROUTE)


@contextlib.contextmanager
def platform(folder: Path, upstream: str) -> Iterator[OtherGateway]:
    """Run the published platform, whose interface Modelport's is. Raises StartError."""
    environment = python_environment("platform", ROOT / "requirements/bench-platform.txt")
    port = free_port()
    command = [str(environment / "bin/nemo"), "services", "run", "--services", _PLATFORM_SERVICES, "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    # All that it keeps is under its home.
    with _running(command, folder, "platform", {"HOME": str(folder), "XDG_CACHE_HOME": str(folder)}) as process:

        def ready() -> bool:
            if process.poll() is not None:
                raise StartError(f"platform ended with {process.returncode}: see {folder / 'platform.log'}")
            return httpx.get(f"{url}/health/ready", trust_env=False).status_code == 200

        eventually_sync(ready, _START_TIMEOUT_S, ignoring=(httpx.HTTPError,), interval=0.2)
        provider = {"name": PROVIDER, "host_url": upstream}
        made = httpx.post(f"{url}/apis/models/v2/workspaces/default/providers", json=provider, trust_env=False)
        made.raise_for_status()
        target = Target(f"{url}{ROUTES[PROVIDER_ROUTE]}", (process.pid,), (), MAIN, _LOAD_S)
        _await(process, target, folder / "platform.log")
        yield OtherGateway(
            target,
            process.pid,
            _python_version(environment, "nemo-platform"),
            f"services {_PLATFORM_SERVICES} in its one process, provider route",
            PROVIDER_ROUTE,
        )


KNOWN: Final[Mapping[str, Callable[[Path, str], AbstractContextManager[OtherGateway]]]] = {
    "litellm": litellm,
    "portkey": portkey,
    "platform": platform,
}


@contextlib.contextmanager
def _running(
    command: Sequence[str], folder: Path, name: str, variables: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    # Nothing of the user's is passed on: no key of theirs, no proxy, no setting.
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **variables}
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], target: Target, log: Path) -> None:
    headers = {"content-type": "application/json", "authorization": "Bearer client", **dict(target.headers)}

    def answers() -> bool:
        if process.poll() is not None:
            raise StartError(f"{process.args!r} ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        url = f"{target.prefix}/{TAIL}"
        return httpx.post(url, content=MAIN.body, headers=headers, timeout=30, trust_env=False).status_code == 200

    try:
        eventually_sync(answers, _START_TIMEOUT_S, ignoring=(httpx.HTTPError,), interval=0.2)
    except AssertionError as error:
        raise StartError(f"{target.prefix} does not answer: {error}\n{log.read_text()[-2000:]}") from error


def _python_version(environment: Path, package: str) -> str:
    ask = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    command = [str(environment / "bin/python"), "-I", "-c", ask]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

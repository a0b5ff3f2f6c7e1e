"""The command line on a terminal: prompts, tables, conversations."""

import os
import pty
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from modelport_testing.nemo import TIMEOUT_S, start_process
from modelport_testing.polling import eventually_sync
from modelport_testing.scripted import Reply, Script, error, page, provider, secret

SECRETS = "/apis/secrets/v2/workspaces/default/secrets"
OPENAI = "/apis/inference-gateway/v2/workspaces/default/openai/-/v1/chat/completions"
PROVIDERS = "/apis/models/v2/workspaces/default/providers"
SSE = {"content-type": "text/event-stream"}


class Terminal:
    """A person at a terminal: sees what a command writes, and types."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.seen = ""
        self._descriptor = descriptor

    def wait_for(self, text: str) -> None:
        """Read until `text` is on the screen, counted from what was waited for last."""
        end = time.monotonic() + TIMEOUT_S
        start = len(self.seen)
        while text not in self.seen[start:]:
            left = end - time.monotonic()
            assert left > 0, f"never saw {text!r} in {self.seen[start:]!r}"
            if select.select([self._descriptor], [], [], left)[0]:
                try:
                    data = os.read(self._descriptor, 65536)
                except OSError:  # the other side is closed
                    data = b""
                assert data, f"ended without {text!r}: {self.seen[start:]!r}"
                self.seen += data.decode()

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def end(self) -> int:
        """Read to the end and return the exit code."""
        while True:
            try:
                data = os.read(self._descriptor, 65536)
            except OSError:
                break
            if not data:
                break
            self.seen += data.decode()
        return self.process.wait(TIMEOUT_S)


@contextmanager
def terminal(*arguments: str, environment: dict[str, str]) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    process = start_process(*arguments, environment=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        os.close(ours)
        if process.poll() is None:
            process.kill()
        process.wait(TIMEOUT_S)


def answer(text: str) -> Reply:
    return Reply(headers=SSE, parts=[b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n' % text.encode()])


def test_a_secret_is_asked_for_and_not_shown(script: Script, environment: dict[str, str]) -> None:
    script.on("POST", SECRETS, Reply(201, json=secret("k1")))
    with terminal("secrets", "create", "k1", environment=environment) as screen:
        screen.wait_for("Value: ")
        screen.type("s3cret\n")
        assert screen.end() == 0
    assert script.requests[0].json["value"] == "s3cret"
    assert "s3cret" not in screen.seen


def test_ctrl_c_at_the_prompt(environment: dict[str, str]) -> None:
    with terminal("secrets", "create", "k1", environment=environment) as screen:
        screen.wait_for("Value: ")
        screen.process.send_signal(signal.SIGINT)
        assert screen.end() in {1, 130}
    assert "Traceback" not in screen.seen


def test_lists_are_tables(script: Script, environment: dict[str, str]) -> None:
    broken = provider("broken", status="ERROR", status_message="no \x1b]0;title\x07 key")
    script.on("GET", PROVIDERS, Reply(json=page(provider(), broken)))
    with terminal("inference", "providers", "list", environment=environment) as screen:
        assert screen.end() == 0
    assert "\x1b]0;" not in screen.seen
    plain = re.sub(r"\x1b\[[0-9;]*m", "", screen.seen).splitlines()
    assert plain[0].split()[:4] == ["NAME", "WORKSPACE", "STATUS", "MODELS"]
    assert plain[1].split()[:3] == ["openai", "default", "READY"]


def test_a_conversation_has_a_history(script: Script, environment: dict[str, str]) -> None:
    script.on("POST", OPENAI, answer("Hello!"), Reply(400, json=error(400, "x", "too hot")), answer("Still here"))
    with terminal("chat", "gpt-4", "--system-message", "Be brief", environment=environment) as screen:
        screen.wait_for("> ")
        screen.type("Hi\n")
        screen.wait_for("Hello!\r\n> ")
        screen.type("Break\n")
        screen.wait_for("Error: too hot (HTTP 400)\r\n> ")
        screen.type("Again\n")
        screen.wait_for("Still here\r\n> ")
        screen.type("/exit\n")
        assert screen.end() == 0
    last = script.asked("POST", OPENAI)[-1].json["messages"]
    assert [(one["role"], one["content"]) for one in last] == [
        ("system", "Be brief"),
        ("user", "Hi"),
        ("assistant", "Hello!"),
        ("user", "Again"),
    ]


def test_ctrl_c_stops_an_answer_and_ctrl_d_the_conversation(script: Script, environment: dict[str, str]) -> None:
    go_on = threading.Event()
    parts: list[bytes | threading.Event] = [b'data: {"choices": [{"delta": {"content": "Once upon"}}]}\n\n', go_on]
    script.on("POST", OPENAI, Reply(headers=SSE, parts=parts), answer("Short"))
    with terminal("chat", "gpt-4", environment=environment) as screen:
        screen.wait_for("> ")
        screen.type("Tell me a story\n")
        screen.wait_for("Once upon")
        screen.process.send_signal(signal.SIGINT)
        screen.wait_for("(stopped)\r\n> ")
        go_on.set()
        screen.type("Shorter\n")
        screen.wait_for("Short\r\n> ")
        screen.type("\x04")
        assert screen.end() == 0
    assert len(script.asked("POST", OPENAI)[-1].json["messages"]) == 1


def test_ctrl_c_before_an_answer_begins(script: Script, environment: dict[str, str]) -> None:
    go_on = threading.Event()
    script.on("POST", OPENAI, Reply(headers=SSE, parts=[b": wait\n\n", go_on]))
    with terminal("chat", "gpt-4", environment=environment) as screen:
        screen.wait_for("> ")
        screen.type("Hi\n")
        eventually_sync(lambda: script.asked("POST", OPENAI))
        screen.process.send_signal(signal.SIGINT)
        screen.wait_for("\r\n(stopped)\r\n> ")
        go_on.set()
        screen.type("\x04")
        assert screen.end() == 0


@pytest.mark.parametrize("output_format", ["json", "yaml", "raw"])
def test_a_conversation_is_text(environment: dict[str, str], output_format: str) -> None:
    with terminal("chat", "gpt-4", "-f", output_format, environment=environment) as screen:
        assert screen.end() == 2
    assert "a conversation cannot be shown in this format" in screen.seen


def test_what_a_model_says_cannot_steer_the_terminal(script: Script, environment: dict[str, str]) -> None:
    script.on("POST", OPENAI, answer("a\\u001b[2Jb"))
    with terminal("chat", "gpt-4", "Hi", environment=environment) as screen:
        assert screen.end() == 0
    assert "a\N{REPLACEMENT CHARACTER}[2Jb" in screen.seen

"""The published nemo-platform client in its own environment, driven from outside: nothing of it is imported here."""

from textwrap import dedent

from modelport_testing.terminal import Terminal

SCRIPT_TIMEOUT_S = 90.0
PRELUDE = """
import json, os, time
import nemo_platform
from nemo_platform import NeMoPlatform

client = NeMoPlatform(workspace=os.environ["NMP_WORKSPACE"])
workspace = os.environ["NMP_WORKSPACE"]
HELLO = {"model": "gpt-4", "messages": [{"role": "user", "content": "Hello!"}]}

def raises(error, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except error as raised:
        return raised
    raise AssertionError(f"no {error.__name__} was raised")
"""


class PublishedClient(Terminal):
    """A terminal in which `nemo` and `python` are those of the published client's environment."""

    def script(self, text: str) -> str:
        """Run a script that has `client`, a NeMoPlatform; its assertions are the test's. Return what it prints."""
        return self.python(PRELUDE + dedent(text), timeout=SCRIPT_TIMEOUT_S).ok()

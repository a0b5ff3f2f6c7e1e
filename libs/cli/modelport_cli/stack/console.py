"""What the person in front of the stack sees: a line a part, then how to use it. What services log is in files."""

import shlex

from modelport_cli.streams import discard_output

DEFAULT_PORT = 8080


class Console:
    """Prints lines; that nobody reads them any more is no reason to fail."""

    def say(self, line: str) -> None:
        """Print one line."""
        try:
            print(line, flush=True)
        except OSError:
            # The terminal is gone: later writes go nowhere, and Python's own flush at exit must not fail either.
            discard_output()

    def part_ready(self, name: str, address: str, pid: int, seconds: float) -> None:
        """Print that a part has become ready, and after how long."""
        self.say(f"  {name:<20} ready  {seconds:4.1f} s  {address}  (pid {pid})")


def first_steps(url: str, nemo: str, port: int) -> list[str]:
    """Return three commands that work in any other terminal, with nothing installed but Modelport."""
    command = shlex.quote(nemo)
    if port != DEFAULT_PORT:
        command += f" --base-url {url}"
    return [
        f"{command} status",
        f"{command} inference providers list --workspace system",
        f"{command} inference get-url",
    ]

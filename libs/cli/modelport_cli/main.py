"""Entry point of the commands `modelport` and `nemo`."""

import sys
from pathlib import Path

from modelport_cli.streams import discard_output, open_missing


def run() -> None:
    """Run the command line and exit: 0 done, 1 the platform said no or is away, 2 wrong usage (docs/wire.md, 5).

    130 after Ctrl-C, as shells have it.
    """
    open_missing()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets its escape, not an error.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]

    code: object = 0
    try:
        from modelport_cli.app import app

        app(prog_name=program_name())
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        # Before a command runs, or while it puts things away; while one runs, the framework does the same.
        code = 130
        if sys.stderr.isatty():
            # Below the ^C.
            print(file=sys.stderr)
    except OSError as error:
        code = _unwritten(error)
    try:
        sys.stdout.flush()
    except OSError as error:
        code = code or _unwritten(error)
        discard_output()
    sys.exit(code if isinstance(code, int) or code is None else 1)


def _unwritten(error: OSError) -> int:
    """Say that the output cannot be written, and return the exit code."""
    discard_output()
    # `nemo ... | head` knows that it has enough; a full disk is news.
    if not isinstance(error, BrokenPipeError):
        print(f"Error: the output cannot be written: {error.strerror}", file=sys.stderr)
    return 1


def program_name() -> str:
    """Return the name this program was called by, one of its two."""
    called = Path(sys.argv[0]).name
    return called if called in {"modelport", "nemo"} else "nemo"


if __name__ == "__main__":
    run()

"""`nemo services`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from modelport_cli.command import command, group
from modelport_cli.failures import UsageError
from modelport_cli.session import Session

app = group("The platform on this machine.")

DEFAULT_PORT = 8080
DEFAULT_DATA_DIR = ".modelport"


@command(app, "run")
def run(
    session: Session,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=65535, metavar="PORT", help="Where to listen on 127.0.0.1: MODELPORT_PORT, else 8080."
        ),
    ] = None,
    data_dir: Annotated[
        str | None,
        typer.Option("--data-dir", metavar="FOLDER", help="Where data live: MODELPORT_DATA_DIR, else .modelport."),
    ] = None,
    gateways: Annotated[int, typer.Option("--gateways", min=1, metavar="N", help="How many gateway processes.")] = 1,
) -> None:
    """Run the whole platform in the foreground; Ctrl-C stops all of it."""
    from modelport_cli.stack.command import run as run_stack

    # The empty text would be the working directory.
    if data_dir == "":
        raise UsageError("--data-dir is empty", "Name a folder, or leave the flag out")
    folder = Path(data_dir or os.environ.get("MODELPORT_DATA_DIR") or DEFAULT_DATA_DIR)
    raise typer.Exit(run_stack(_port(port), folder, gateways))


def _port(flag: int | None) -> int:
    if flag is not None:
        return flag
    text = os.environ.get("MODELPORT_PORT") or str(DEFAULT_PORT)
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise UsageError(f"MODELPORT_PORT is {text!r}, which is no port")
    return int(text)

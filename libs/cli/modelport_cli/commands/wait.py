"""`nemo wait`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from modelport_cli.command import command, group
from modelport_cli.inputs import valid_name
from modelport_cli.session import Session
from modelport_cli.text import note

if TYPE_CHECKING:
    from modelport_contracts.resources.providers import Provider

Name = Annotated[str, typer.Argument(metavar="NAME", help="The provider's name.", callback=valid_name)]
MAX_TIMEOUT_S = 7 * 24 * 3600
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        "-t",
        min=0,
        max=MAX_TIMEOUT_S,
        metavar="SECONDS",
        help="How long at most; a week is the longest.",
    ),
]


def add_to(root: typer.Typer) -> None:
    """Add the group to the command line."""
    app = group("Wait for something to be usable.")
    inference = group("Providers.")
    app.add_typer(inference, name="inference")
    root.add_typer(app, name="wait")
    command(inference, "provider")(wait_for_provider)


def wait_for_provider(session: Session, name: Name, timeout: Timeout = 60.0) -> None:
    """Wait until a provider is READY and every gateway can route to it.

    Shows each change of its status on the way. When time is up: exit code 1, with what the provider says.
    """
    provider = f"{session.connection.workspace}/{name}"
    note(f"Waiting for provider {provider} ...")

    def tell(state: "Provider") -> None:
        note(f"  {state.status}: {state.status_message}" if state.status_message else f"  {state.status}")

    session.client.models.wait_for_provider(name, timeout=timeout, on_change=tell)
    sys.stdout.write(f"Provider {provider} is ready.\n")

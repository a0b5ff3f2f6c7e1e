"""The command line: its groups and global flags."""

from typing import Annotated

import typer

from modelport_cli.command import BaseUrl, Format, Verbose, Workspace, group
from modelport_cli.commands import (
    audit,
    chat,
    config,
    gateway,
    inference,
    models,
    providers,
    secrets,
    services,
    status,
    virtual_models,
    wait,
    workspaces,
)
from modelport_cli.session import GlobalFlags

app = group("Modelport: one address for every model.")

app.add_typer(secrets.app, name="secrets")
app.add_typer(inference.app, name="inference")
inference.app.add_typer(providers.app, name="providers")
inference.app.add_typer(virtual_models.app, name="virtual-models")
inference.app.add_typer(gateway.app, name="gateway")
app.add_typer(models.app, name="models")
app.add_typer(workspaces.app, name="workspaces")
app.add_typer(audit.app, name="audit")
wait.add_to(app)
chat.add_to(app)
status.add_to(app)
app.add_typer(config.app, name="config")
app.add_typer(services.app, name="services")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"modelport {version('modelport')}")
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    base_url: BaseUrl = None,
    workspace: Workspace = None,
    output_format: Format = None,
    verbose: Verbose = False,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Show the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Modelport: one address for every model.

    The flags below may stand before or after a command. NMP_BASE_URL, NMP_WORKSPACE and NMP_ACCESS_TOKEN set what
    they name; `nemo config set` keeps it in a file.
    """
    context.obj = GlobalFlags(base_url, workspace, output_format, verbose)

"""`nemo inference`: addresses, and what can be called now."""

from typing import Annotated

import typer

from modelport_cli.command import command, group
from modelport_cli.failures import UsageError
from modelport_cli.inputs import valid_name, valid_virtual_model_name
from modelport_cli.output import record, show_item, show_records, show_value
from modelport_cli.session import OutputFormat, Session
from modelport_cli.text import note

app = group("Providers, models and the gateway.")
models = group("What can be called now.")
app.add_typer(models, name="models")

_LOOK_TIMEOUT_S = 5.0
_ALWAYS_THERE = {"default", "system"}
"""Workspaces that nobody can delete (docs/wire.md, 3.3): their address needs no look."""
_COLUMNS = {"ID": "id", "OWNED BY": "owned_by"}


@command(app, "get-url")
def get_url(
    session: Session,
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="NAME", help="Of a provider.", callback=valid_name)
    ] = None,
    virtual_model: Annotated[
        str | None,
        typer.Option("--virtual-model", metavar="NAME", help="Of a virtual model.", callback=valid_virtual_model_name),
    ] = None,
) -> None:
    """Print the address that applications use: OpenAI clients take the one without flags as their base_url.

    The platform need not be there; if it is, and has no such workspace, provider or virtual model, this is an error.
    """
    from modelport import paths
    from modelport.scope import Scope

    if provider is not None and virtual_model is not None:
        raise UsageError("give --provider or --virtual-model, not both")
    if provider is not None:
        route = ("provider", paths.segment(provider, "--provider"), "-")
    elif virtual_model is not None:
        route = ("model", paths.segment(virtual_model, "--virtual-model"), "-")
    else:
        route = ("openai", "-", "v1")
    _check_exists(session, provider, virtual_model)
    found = session.connection
    scope = Scope(found.base_url, found.workspace)
    url = found.base_url + scope.in_workspace(paths.GATEWAY, None, *route)
    if session.flags.output_format in (OutputFormat.JSON, OutputFormat.YAML):
        show_value(session, {"url": url})
    else:
        print(url)


def _check_exists(session: Session, provider: str | None, virtual_model: str | None) -> None:
    """Raise NotFoundError where the platform says so; that it says nothing is no reason not to print an address."""
    from modelport import ModelportError, NotFoundError

    workspace = session.connection.workspace
    if provider is None and virtual_model is None and workspace in _ALWAYS_THERE:
        return
    client = session.client_with(timeout=_LOOK_TIMEOUT_S, max_retries=0)
    try:
        if provider is not None:
            client.inference.providers.retrieve(provider)
        elif virtual_model is not None:
            client.inference.virtual_models.retrieve(virtual_model)
        else:
            client.workspaces.retrieve(workspace)
    except NotFoundError:
        raise
    except ModelportError as error:
        # Without the SDK's hint, which speaks of its arguments.
        note(f"Not checked whether it exists: {error.message}")


@command(models, "list")
def list_models(session: Session) -> None:
    """List what can be called now through the OpenAI route."""
    found = session.client.inference.models.list()
    show_records(session, [record(one) for one in found.data], _COLUMNS)


@command(models, "get")
def get_model(
    session: Session, name: Annotated[str, typer.Argument(metavar="NAME", help="With or without workspace/.")]
) -> None:
    """Show one of them."""
    show_item(session, session.client.inference.models.get(name))

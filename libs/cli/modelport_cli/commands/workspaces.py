"""`nemo workspaces`."""

from typing import Annotated

import typer

from modelport_cli.command import command, group
from modelport_cli.failures import UsageError
from modelport_cli.inputs import Description, ExistOk, ListFlags, valid_name
from modelport_cli.output import show_item, show_list
from modelport_cli.session import Session
from modelport_cli.text import note

app = group("Workspaces: what secrets, providers and models live in.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The workspace's name.", callback=valid_name)]
_COLUMNS = {"NAME": "name", "DESCRIPTION": "description", "CREATED": "created_at"}


@command(app, "create")
def create(session: Session, name: Name, description: Description = None, exist_ok: ExistOk = False) -> None:
    """Make a workspace."""
    show_item(session, session.client.workspaces.create(name=name, description=description, exist_ok=exist_ok))


@command(app, "list")
def list_workspaces(session: Session, wanted: ListFlags) -> None:
    """List workspaces."""
    show_list(session, session.client.workspaces.list(**wanted.query()), _COLUMNS, all_pages=wanted.all_pages)


@command(app, "get")
def get(session: Session, name: Name) -> None:
    """Show a workspace."""
    show_item(session, session.client.workspaces.retrieve(name))


@command(app, "update")
def update(session: Session, name: Name, description: Description = None) -> None:
    """Replace a workspace's description. An empty text, '' , empties it."""
    if description is None:
        raise UsageError("nothing to change", "Name --description; an empty text, '' , empties it")
    show_item(session, session.client.workspaces.update(name, description=description or None))


@command(app, "delete")
def delete(session: Session, name: Name) -> None:
    """Delete a workspace and everything in it."""
    note(session.client.workspaces.delete(name).message)

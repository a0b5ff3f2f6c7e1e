"""`nemo audit`."""

from typing import Annotated, Any

import typer

from modelport_cli.command import command, group
from modelport_cli.inputs import ListFlags
from modelport_cli.output import Columns, show_list
from modelport_cli.session import Session

app = group("The audit trail: who changed or revealed what, and when.")

Service = Annotated[
    str | None, typer.Option("--service", metavar="NAME", help="models or secrets alone; without it both, by time.")
]


def _thing(event: dict[str, Any]) -> str:
    return "/".join(filter(None, (event.get("workspace"), event["name"])))


_COLUMNS: Columns = {
    "TIME": "created_at",
    "ACTION": "action",
    "KIND": "kind",
    "NAME": _thing,
    "OUTCOME": "outcome",
    "ACTOR": "actor",
    "ADDRESS": "address",
    "REQUEST": "request_id",
}


@command(app, "list")
def list_events(session: Session, wanted: ListFlags, service: Service = None) -> None:
    """List what was done, newest first: in all workspaces, or in the one that --workspace names.

    nemo audit list --filter 'action:"reveal" AND name:"openai-api-key"'
    """
    found = session.client.audit.list(service=service, workspace=session.checked_workspace, **wanted.query())
    show_list(session, found, _COLUMNS, all_pages=wanted.all_pages)

"""`nemo models`."""

from typing import Annotated, Any

import typer

from modelport_cli.command import command, group
from modelport_cli.inputs import (
    AllPages,
    Description,
    ExistOk,
    Filter,
    InputData,
    InputFile,
    PageNumber,
    PageSize,
    Project,
    Sort,
    fields_from,
    mapping,
    some_changes,
)
from modelport_cli.output import show_item, show_list
from modelport_cli.session import Session
from modelport_cli.text import note

app = group("Model entities: what providers serve, under the platform's names.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")]
BackendFormat = Annotated[
    str | None,
    typer.Option("--backend-format", metavar="FORMAT", help="OPENAI_CHAT or ANTHROPIC_MESSAGES."),
]
BaseModel = Annotated[str | None, typer.Option("--base-model", metavar="NAME", help="The model it is made from.")]
Spec = Annotated[str | None, typer.Option("--spec", metavar="OBJECT", help="What it is. JSON or YAML.")]
CustomFields = Annotated[
    str | None, typer.Option("--custom-fields", metavar="OBJECT", help="Anything else. JSON or YAML.")
]
_COLUMNS = {
    "NAME": "name",
    "WORKSPACE": "workspace",
    "FORMAT": "backend_format",
    "PROVIDERS": "model_providers",
    "DESCRIPTION": "description",
}


@command(app, "list")
def list_models(
    session: Session,
    filter: Filter = None,  # noqa: A002 (the flag's name)
    sort: Sort = None,
    page: PageNumber = None,
    page_size: PageSize = None,
    all_pages: AllPages = False,
) -> None:
    """List model entities; --workspace - lists those of all workspaces."""
    found = session.client.models.list(
        filter=filter,
        sort=sort,
        page=page,
        page_size=page_size,
        verbose=session.flags.verbose or None,
    )
    show_list(session, found, _COLUMNS, all_pages=all_pages)


@command(app, "get")
def get(session: Session, name: Name) -> None:
    """Show a model entity; --verbose shows its full spec."""
    show_item(session, session.client.models.retrieve(name, verbose=session.flags.verbose or None))


@command(app, "create")
def create(
    session: Session,
    name: Name,
    backend_format: BackendFormat = None,
    base_model: BaseModel = None,
    spec: Spec = None,
    custom_fields: CustomFields = None,
    description: Description = None,
    project: Project = None,
    exist_ok: ExistOk = False,
    input_file: InputFile = None,
    input_data: InputData = None,
) -> None:
    """Make a model entity. Discovery makes those of providers by itself."""
    fields = fields_from(
        input_file,
        input_data,
        backend_format=backend_format,
        base_model=base_model,
        spec=mapping(spec, "--spec"),
        custom_fields=mapping(custom_fields, "--custom-fields"),
        description=description,
        project=project,
    )
    show_item(session, session.client.models.create(name=name, exist_ok=exist_ok, **_settable(fields)))


@command(app, "update")
def update(
    session: Session,
    name: Name,
    backend_format: BackendFormat = None,
    base_model: BaseModel = None,
    spec: Spec = None,
    custom_fields: CustomFields = None,
    description: Description = None,
    project: Project = None,
    input_file: InputFile = None,
    input_data: InputData = None,
) -> None:
    """Change what is named of a model entity and keep the rest. An empty text, '' , empties a field."""
    fields = fields_from(
        input_file,
        input_data,
        backend_format=backend_format,
        base_model=base_model,
        spec=mapping(spec, "--spec"),
        custom_fields=mapping(custom_fields, "--custom-fields"),
        description=description,
        project=project,
    )
    show_item(session, session.client.models.update(name, **some_changes(_settable(fields))))


@command(app, "delete")
def delete(session: Session, name: Name) -> None:
    """Delete a model entity. One that a provider still serves comes back."""
    session.client.models.delete(name)
    note(f"Model {name} is deleted.")


def _settable(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a user may set, of what an input file holds."""
    from modelport_contracts.resources.models import ModelFields

    return {name: value for name, value in fields.items() if name in ModelFields.model_fields}

"""`nemo models`."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated

import typer

from modelport_cli.command import command, group
from modelport_cli.inputs import (
    Description,
    ExistOk,
    FieldFlags,
    InputData,
    InputFile,
    ListFlags,
    Project,
    Read,
    mapping,
    some_changes,
    valid_name,
)
from modelport_cli.output import show_item, show_list
from modelport_cli.session import Session
from modelport_cli.text import note

app = group("Model entities: what providers serve, under the platform's names.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The model's name.", callback=valid_name)]
BackendFormat = Annotated[
    str | None,
    typer.Option("--backend-format", metavar="FORMAT", help="OPENAI_CHAT or ANTHROPIC_MESSAGES."),
]
BaseModel = Annotated[str | None, typer.Option("--base-model", metavar="NAME", help="The model it is made from.")]
Spec = Annotated[str | None, typer.Option("--spec", metavar="OBJECT", help="What it is. JSON or YAML."), Read(mapping)]
CustomFields = Annotated[
    str | None,
    typer.Option("--custom-fields", metavar="OBJECT", help="Anything else. JSON or YAML."),
    Read(mapping),
]


@dataclass(frozen=True)
class ModelFlags(FieldFlags):
    """A model's fields as flags."""

    backend_format: BackendFormat = None
    base_model: BaseModel = None
    spec: Spec = None
    custom_fields: CustomFields = None
    description: Description = None
    project: Project = None
    input_file: InputFile = None
    input_data: InputData = None

    @staticmethod
    def settable() -> Collection[str]:
        from modelport_contracts.resources.models import ModelFields

        return ModelFields.model_fields.keys()

    @staticmethod
    def shown() -> Collection[str]:
        from modelport_contracts.resources.models import Model

        return Model.model_fields.keys()


_COLUMNS = {
    "NAME": "name",
    "WORKSPACE": "workspace",
    "FORMAT": "backend_format",
    "PROVIDERS": "model_providers",
    "DESCRIPTION": "description",
}


@command(app, "list")
def list_models(session: Session, wanted: ListFlags) -> None:
    """List model entities; --workspace - lists those of all workspaces."""
    found = session.client.models.list(verbose=session.flags.verbose or None, **wanted.query())
    show_list(session, found, _COLUMNS, all_pages=wanted.all_pages)


@command(app, "get")
def get(session: Session, name: Name) -> None:
    """Show a model entity."""
    show_item(session, session.client.models.retrieve(name, verbose=session.flags.verbose or None))


@command(app, "create")
def create(session: Session, name: Name, given: ModelFlags, exist_ok: ExistOk = False) -> None:
    """Make a model entity. Discovery makes those of providers by itself."""
    show_item(session, session.client.models.create(name=name, exist_ok=exist_ok, **given.fields()))


@command(app, "update")
def update(session: Session, name: Name, given: ModelFlags) -> None:
    """Change what is named of a model entity and keep the rest. An empty text, '' , empties a field."""
    show_item(session, session.client.models.update(name, **some_changes(given.fields())))


@command(app, "delete")
def delete(session: Session, name: Name) -> None:
    """Delete a model entity; one that a provider still serves is refused."""
    session.client.models.delete(name)
    note(f"Model {name} is deleted.")

"""`nemo inference virtual-models`."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from modelport_cli.command import command, group
from modelport_cli.inputs import (
    ExistOk,
    FieldFlags,
    InputData,
    InputFile,
    ListFlags,
    Project,
    Read,
    items,
    mapping,
    some_changes,
    valid_virtual_model_name,
)
from modelport_cli.output import Columns, Record, show_item, show_list
from modelport_cli.session import Session
from modelport_cli.text import note

if TYPE_CHECKING:
    from modelport_contracts.resources.virtual_models import VirtualModel

app = group("Virtual models: stable names that applications call, whatever serves them.")

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The virtual model's name; it may end in one *.", callback=valid_virtual_model_name
    ),
]
Models = Annotated[
    str | None,
    typer.Option("--models", metavar="LIST", help='Targets, such as \'[{"model": "default/gpt-4"}]\'. JSON or YAML.'),
    Read(items),
]
DefaultEntity = Annotated[
    str | None, typer.Option("--default-model-entity", metavar="WORKSPACE/NAME", help="The model it stands for.")
]
Options = Annotated[
    str | None,
    typer.Option("--options", metavar="OBJECT", help="Retries, stickiness, mirroring. JSON or YAML."),
    Read(mapping),
]
RequestSteps = Annotated[
    str | None,
    typer.Option("--request-middleware", metavar="LIST", help="Steps before the call."),
    Read(items),
]
ResponseSteps = Annotated[
    str | None,
    typer.Option("--response-middleware", metavar="LIST", help="Steps after the call."),
    Read(items),
]
LateSteps = Annotated[
    str | None,
    typer.Option("--post-response-middleware", metavar="LIST", help="Steps after the reply has left."),
    Read(items),
]


@dataclass(frozen=True)
class VirtualModelFlags(FieldFlags):
    """A virtual model's fields as flags."""

    models: Models = None
    default_model_entity: DefaultEntity = None
    options: Options = None
    request_middleware: RequestSteps = None
    response_middleware: ResponseSteps = None
    post_response_middleware: LateSteps = None
    project: Project = None
    input_file: InputFile = None
    input_data: InputData = None

    @staticmethod
    def settable() -> Collection[str]:
        from modelport_contracts.resources.virtual_models import VirtualModelFields

        return VirtualModelFields.model_fields.keys()

    @staticmethod
    def shown() -> Collection[str]:
        from modelport_contracts.resources.virtual_models import VirtualModel

        return VirtualModel.model_fields.keys()


_AT_ONCE = 50
"""Models asked for with one request."""


def _targets(virtual_model: Record) -> str:
    named = [target["model"] for target in virtual_model.get("models") or ()]
    return ", ".join(named) or virtual_model.get("default_model_entity") or ""


_COLUMNS: Columns = {
    "NAME": "name",
    "WORKSPACE": "workspace",
    "MODELS": _targets,
    "AUTOPROVISIONED": "autoprovisioned",
}


@command(app, "create")
def create(session: Session, name: Name, given: VirtualModelFlags, exist_ok: ExistOk = False) -> None:
    """Make a virtual model."""
    _show(session, session.client.inference.virtual_models.create(name=name, exist_ok=exist_ok, **given.fields()))


@command(app, "list")
def list_virtual_models(
    session: Session,
    wanted: ListFlags,
    exclude_autoprovisioned: Annotated[
        bool, typer.Option("--exclude-autoprovisioned", help="Leave out those that discovery made.")
    ] = False,
) -> None:
    """List virtual models; --workspace - lists those of all workspaces."""
    found = session.client.inference.virtual_models.list(
        exclude_autoprovisioned=exclude_autoprovisioned or None, **wanted.query()
    )
    show_list(session, found, _COLUMNS, all_pages=wanted.all_pages)


@command(app, "get")
def get(session: Session, name: Name) -> None:
    """Show a virtual model."""
    _show(session, session.client.inference.virtual_models.retrieve(name))


@command(app, "patch")
def patch(session: Session, name: Name, given: VirtualModelFlags) -> None:
    """Change what is named of a virtual model and keep the rest. An empty text, '' , empties a field."""
    _show(session, session.client.inference.virtual_models.patch(name, **some_changes(given.fields())))


@command(app, "delete")
def delete(session: Session, name: Name) -> None:
    """Delete a virtual model."""
    session.client.inference.virtual_models.delete(name)
    note(f"Virtual model {name} is deleted.")


def _show(session: Session, virtual_model: "VirtualModel") -> None:
    """Print a virtual model, and on stderr what keeps it from being called."""
    from modelport import ModelportError

    show_item(session, virtual_model)
    try:
        for problem in _problems(session, virtual_model):
            note(f"Warning: {problem}")
    except ModelportError as error:
        note(f"Warning: its targets cannot be looked at: {error.message}")


def _problems(session: Session, virtual_model: "VirtualModel") -> Iterator[str]:
    """Say which targets cannot be called yet: the platform takes them, so that things may be made in any order."""
    from modelport_contracts.names import split_entity

    default = virtual_model.default_model_entity
    named = [default] if default else [target.model for target in virtual_model.models or ()]
    if not named:
        yield f"virtual model {virtual_model.name} names no target; calls fail until it has one"
    by_workspace: dict[str, list[str]] = {}
    for workspace, name in dict.fromkeys(split_entity(one, virtual_model.workspace) for one in named):
        by_workspace.setdefault(workspace, []).append(name)
    for workspace, names in by_workspace.items():
        known = _providers_of(session, workspace, names)
        for name in names:
            target = f"target {workspace}/{name}"
            if name not in known:
                yield f"{target} does not exist yet; it will once a provider that serves it is registered"
            elif not known[name]:
                yield f"{target} has no provider yet; calls fail until one serves it"


def _providers_of(session: Session, workspace: str, names: list[str]) -> dict[str, list[str]]:
    """Return the providers of those of these models that exist."""
    from modelport import NotFoundError

    found: dict[str, list[str]] = {}
    for start in range(0, len(names), _AT_ONCE):
        wanted = {"name": {"$in": names[start : start + _AT_ONCE]}}
        try:
            listed = session.client.models.list(workspace=workspace, filter=wanted, page_size=_AT_ONCE)
        except NotFoundError:  # no such workspace
            return found
        found |= {model.name: model.model_providers or [] for model in listed.data}
    return found

"""`nemo inference virtual-models`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelport_cli.command import command, group
from modelport_cli.inputs import (
    AllPages,
    ExistOk,
    Filter,
    InputData,
    InputFile,
    PageNumber,
    PageSize,
    Project,
    Sort,
    fields_from,
    items,
    mapping,
    some_changes,
)
from modelport_cli.output import Columns, Record, show_item, show_list
from modelport_cli.session import Session
from modelport_cli.text import note

if TYPE_CHECKING:
    from modelport_contracts.resources.virtual_models import VirtualModel

app = group("Virtual models: stable names that applications call, whatever serves them.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The virtual model's name; it may end in one *.")]
Models = Annotated[
    str | None,
    typer.Option("--models", metavar="LIST", help='Targets, such as \'[{"model": "default/gpt-4"}]\'. JSON or YAML.'),
]
DefaultEntity = Annotated[
    str | None, typer.Option("--default-model-entity", metavar="WORKSPACE/NAME", help="The model it stands for.")
]
Options = Annotated[
    str | None,
    typer.Option("--options", metavar="OBJECT", help="Retries, stickiness, mirroring. JSON or YAML."),
]
RequestSteps = Annotated[
    str | None, typer.Option("--request-middleware", metavar="LIST", help="Steps before the call.")
]
ResponseSteps = Annotated[
    str | None, typer.Option("--response-middleware", metavar="LIST", help="Steps after the call.")
]
LateSteps = Annotated[
    str | None,
    typer.Option("--post-response-middleware", metavar="LIST", help="Steps after the reply has left."),
]


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
def create(
    session: Session,
    name: Name,
    models: Models = None,
    default_model_entity: DefaultEntity = None,
    options: Options = None,
    request_middleware: RequestSteps = None,
    response_middleware: ResponseSteps = None,
    post_response_middleware: LateSteps = None,
    project: Project = None,
    exist_ok: ExistOk = False,
    input_file: InputFile = None,
    input_data: InputData = None,
) -> None:
    """Make a virtual model."""
    fields = fields_from(
        input_file,
        input_data,
        models=items(models, "--models"),
        default_model_entity=default_model_entity,
        options=mapping(options, "--options"),
        request_middleware=items(request_middleware, "--request-middleware"),
        response_middleware=items(response_middleware, "--response-middleware"),
        post_response_middleware=items(post_response_middleware, "--post-response-middleware"),
        project=project,
    )
    made = session.client.inference.virtual_models.create(name=name, exist_ok=exist_ok, **_settable(fields))
    _show(session, made)


@command(app, "list")
def list_virtual_models(
    session: Session,
    exclude_autoprovisioned: Annotated[
        bool, typer.Option("--exclude-autoprovisioned", help="Leave out those that discovery made.")
    ] = False,
    filter: Filter = None,  # noqa: A002 (the flag's name)
    sort: Sort = None,
    page: PageNumber = None,
    page_size: PageSize = None,
    all_pages: AllPages = False,
) -> None:
    """List virtual models; --workspace - lists those of all workspaces."""
    found = session.client.inference.virtual_models.list(
        exclude_autoprovisioned=exclude_autoprovisioned or None,
        filter=filter,
        sort=sort,
        page=page,
        page_size=page_size,
    )
    show_list(session, found, _COLUMNS, all_pages=all_pages)


@command(app, "get")
def get(session: Session, name: Name) -> None:
    """Show a virtual model."""
    _show(session, session.client.inference.virtual_models.retrieve(name))


@command(app, "patch")
def patch(
    session: Session,
    name: Name,
    models: Models = None,
    default_model_entity: DefaultEntity = None,
    options: Options = None,
    request_middleware: RequestSteps = None,
    response_middleware: ResponseSteps = None,
    post_response_middleware: LateSteps = None,
    project: Project = None,
    input_file: InputFile = None,
    input_data: InputData = None,
) -> None:
    """Change what is named of a virtual model and keep the rest. An empty text, '' , empties a field."""
    fields = fields_from(
        input_file,
        input_data,
        models=items(models, "--models"),
        default_model_entity=default_model_entity,
        options=mapping(options, "--options"),
        request_middleware=items(request_middleware, "--request-middleware"),
        response_middleware=items(response_middleware, "--response-middleware"),
        post_response_middleware=items(post_response_middleware, "--post-response-middleware"),
        project=project,
    )
    changes = some_changes(_settable(fields))
    _show(session, session.client.inference.virtual_models.patch(name, **changes))


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


def _settable(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a user may set, of what an input file holds."""
    from modelport_contracts.resources.virtual_models import VirtualModelFields

    return {name: value for name, value in fields.items() if name in VirtualModelFields.model_fields}

"""`nemo inference providers`."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from modelport_cli.command import command, group
from modelport_cli.failures import UsageError
from modelport_cli.inputs import (
    Description,
    ExistOk,
    FieldFlags,
    InputData,
    InputFile,
    ListFlags,
    Project,
    Read,
    headers,
    items,
    mapping,
    require,
    some_changes,
    valid_name,
)
from modelport_cli.output import Columns, Record, show_item, show_list
from modelport_cli.session import Session
from modelport_cli.text import note

app = group("Model providers: where models are, and how to reach them.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The provider's name.", callback=valid_name)]
HostUrl = Annotated[
    str | None, typer.Option("--host-url", metavar="URL", help="Where it is, such as https://api.openai.com/v1.")
]
SecretName = Annotated[
    str | None,
    typer.Option("--api-key-secret-name", metavar="NAME", help="The secret with its API key, of the same workspace."),
]
EnabledModels = Annotated[
    list[str] | None,
    typer.Option("--enabled-models", metavar="ID", help="Only this model of the provider's; repeat for more."),
]
AuthHeader = Annotated[
    str | None,
    typer.Option(
        "--auth-header-format",
        metavar="TEXT",
        help="How the key is sent, such as 'X-Api-Key: {{ auth_secret }}'; without it as a bearer token.",
    ),
]
DefaultHeaders = Annotated[
    str | None,
    typer.Option("--default-extra-headers", metavar="OBJECT", help="Headers where a request lacks them. JSON or YAML."),
    Read(headers),
]
DefaultBody = Annotated[
    str | None,
    typer.Option("--default-extra-body", metavar="OBJECT", help="Body members where a request lacks them."),
    Read(mapping),
]
RequiredHeaders = Annotated[
    str | None,
    typer.Option("--required-extra-headers", metavar="OBJECT", help="Headers of every request, whatever it has."),
    Read(headers),
]
RequiredBody = Annotated[
    str | None,
    typer.Option("--required-extra-body", metavar="OBJECT", help="Body members of every request."),
    Read(mapping),
]
Options = Annotated[
    str | None,
    typer.Option("--options", metavar="OBJECT", help="Timeouts and limits, such as '{\"connect_timeout_s\": 2}'."),
    Read(mapping),
]


@dataclass(frozen=True)
class ProviderFlags(FieldFlags):
    """A provider's fields as flags."""

    host_url: HostUrl = None
    api_key_secret_name: SecretName = None
    enabled_models: EnabledModels = None
    auth_header_format: AuthHeader = None
    default_extra_headers: DefaultHeaders = None
    default_extra_body: DefaultBody = None
    required_extra_headers: RequiredHeaders = None
    required_extra_body: RequiredBody = None
    options: Options = None
    description: Description = None
    project: Project = None
    input_file: InputFile = None
    input_data: InputData = None

    @staticmethod
    def settable() -> Collection[str]:
        from modelport_contracts.resources.providers import ProviderUpdate

        return ProviderUpdate.model_fields.keys() - {"model_deployment_id", "auth_context"}

    @staticmethod
    def shown() -> Collection[str]:
        from modelport_contracts.resources.providers import Provider

        return Provider.model_fields.keys()


def _model_count(provider: Record) -> int:
    return len(provider.get("served_models") or ())


_COLUMNS: Columns = {
    "NAME": "name",
    "WORKSPACE": "workspace",
    "STATUS": "status",
    "MODELS": _model_count,
    "HOST URL": "host_url",
    "MESSAGE": "status_message",
}


@command(app, "create")
def create(session: Session, name: Name, given: ProviderFlags, exist_ok: ExistOk = False) -> None:
    """Register a provider; --host-url is required. `nemo wait inference provider NAME` waits until it can be used."""
    fields = given.fields()
    require(fields, "host_url", "--host-url")
    show_item(session, session.client.inference.providers.create(name=name, exist_ok=exist_ok, **fields))


@command(app, "list")
def list_providers(session: Session, wanted: ListFlags) -> None:
    """List providers; --workspace - lists those of all workspaces."""
    found = session.client.inference.providers.list(**wanted.query())
    show_list(session, found, _COLUMNS, all_pages=wanted.all_pages)


@command(app, "get")
def get(session: Session, name: Name) -> None:
    """Show a provider with its status and models."""
    show_item(session, session.client.inference.providers.retrieve(name))


@command(app, "update")
def update(
    session: Session,
    name: Name,
    given: ProviderFlags,
    replace: Annotated[
        bool, typer.Option("--replace", help="Empty what is not named; make the provider where there is none.")
    ] = False,
) -> None:
    """Change what is named of a provider and keep the rest. An empty text, '' , empties a field."""
    changes = some_changes(given.fields())
    fields: dict[str, Any] = {}
    if not replace:
        kept = session.client.inference.providers.retrieve(name).model_dump(mode="json")
        # a PUT that omits the options keeps them
        fields = {member: kept[member] for member in given.settable() if member != "options"}
    fields |= changes
    require(fields, "host_url", "--host-url")
    show_item(session, session.client.inference.providers.update(name, **fields))


@command(app, "update-status")
def update_status(
    session: Session,
    name: Name,
    status: Annotated[str | None, typer.Option("--status", metavar="STATUS", help="Such as READY or ERROR.")] = None,
    status_message: Annotated[str | None, typer.Option("--status-message", metavar="TEXT", help="Why.")] = None,
    served_models: Annotated[
        str | None, typer.Option("--served-models", metavar="LIST", help="What it serves. JSON or YAML.")
    ] = None,
) -> None:
    """Set a provider's status. Discovery does so by itself, and will do so again."""
    served = items(served_models, "--served-models")
    if (status, status_message, served) == (None, None, None):
        raise UsageError("nothing to change", "Name --status, --status-message or --served-models")
    changed = session.client.inference.providers.update_status(
        name, status=status, status_message=status_message, served_models=served
    )
    show_item(session, changed)


@command(app, "delete")
def delete(session: Session, name: Name) -> None:
    """Delete a provider and the models that discovery made for it."""
    session.client.inference.providers.delete(name)
    note(f"Provider {name} is deleted.")

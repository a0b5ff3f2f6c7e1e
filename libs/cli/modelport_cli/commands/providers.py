"""`nemo inference providers`."""

from typing import Annotated, Any

import typer

from modelport_cli.command import command, group
from modelport_cli.failures import UsageError
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
    headers,
    items,
    mapping,
    require,
    some_changes,
)
from modelport_cli.output import Columns, Record, show_item, show_list
from modelport_cli.session import Session
from modelport_cli.text import note

app = group("Model providers: where models are, and how to reach them.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The provider's name.")]
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
]
DefaultBody = Annotated[
    str | None,
    typer.Option("--default-extra-body", metavar="OBJECT", help="Body members where a request lacks them."),
]
RequiredHeaders = Annotated[
    str | None,
    typer.Option("--required-extra-headers", metavar="OBJECT", help="Headers of every request, whatever it has."),
]
RequiredBody = Annotated[
    str | None,
    typer.Option("--required-extra-body", metavar="OBJECT", help="Body members of every request."),
]
Options = Annotated[
    str | None,
    typer.Option("--options", metavar="OBJECT", help="Timeouts and limits, such as '{\"connect_timeout_s\": 2}'."),
]


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
def create(
    session: Session,
    name: Name,
    host_url: HostUrl = None,
    api_key_secret_name: SecretName = None,
    enabled_models: EnabledModels = None,
    auth_header_format: AuthHeader = None,
    default_extra_headers: DefaultHeaders = None,
    default_extra_body: DefaultBody = None,
    required_extra_headers: RequiredHeaders = None,
    required_extra_body: RequiredBody = None,
    options: Options = None,
    description: Description = None,
    project: Project = None,
    exist_ok: ExistOk = False,
    input_file: InputFile = None,
    input_data: InputData = None,
) -> None:
    """Register a provider; --host-url is required. `nemo wait inference provider NAME` waits until it can be used."""
    fields = fields_from(
        input_file,
        input_data,
        host_url=host_url,
        api_key_secret_name=api_key_secret_name,
        enabled_models=enabled_models or None,
        auth_header_format=auth_header_format,
        default_extra_headers=headers(default_extra_headers, "--default-extra-headers"),
        default_extra_body=mapping(default_extra_body, "--default-extra-body"),
        required_extra_headers=headers(required_extra_headers, "--required-extra-headers"),
        required_extra_body=mapping(required_extra_body, "--required-extra-body"),
        options=mapping(options, "--options"),
        description=description,
        project=project,
    )
    require(fields, "host_url", "--host-url")
    settable = _settable(fields)
    show_item(session, session.client.inference.providers.create(name=name, exist_ok=exist_ok, **settable))


@command(app, "list")
def list_providers(
    session: Session,
    filter: Filter = None,  # noqa: A002 (the flag's name)
    sort: Sort = None,
    page: PageNumber = None,
    page_size: PageSize = None,
    all_pages: AllPages = False,
) -> None:
    """List providers; --workspace - lists those of all workspaces."""
    found = session.client.inference.providers.list(filter=filter, sort=sort, page=page, page_size=page_size)
    show_list(session, found, _COLUMNS, all_pages=all_pages)


@command(app, "get")
def get(session: Session, name: Name) -> None:
    """Show a provider with its status and models."""
    show_item(session, session.client.inference.providers.retrieve(name))


@command(app, "update")
def update(
    session: Session,
    name: Name,
    host_url: HostUrl = None,
    api_key_secret_name: SecretName = None,
    enabled_models: EnabledModels = None,
    auth_header_format: AuthHeader = None,
    default_extra_headers: DefaultHeaders = None,
    default_extra_body: DefaultBody = None,
    required_extra_headers: RequiredHeaders = None,
    required_extra_body: RequiredBody = None,
    options: Options = None,
    description: Description = None,
    project: Project = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Empty what is not named; make the provider where there is none.")
    ] = False,
    input_file: InputFile = None,
    input_data: InputData = None,
) -> None:
    """Change what is named of a provider and keep the rest. An empty text, '' , empties a field."""
    given = fields_from(
        input_file,
        input_data,
        host_url=host_url,
        api_key_secret_name=api_key_secret_name,
        enabled_models=enabled_models or None,
        auth_header_format=auth_header_format,
        default_extra_headers=headers(default_extra_headers, "--default-extra-headers"),
        default_extra_body=mapping(default_extra_body, "--default-extra-body"),
        required_extra_headers=headers(required_extra_headers, "--required-extra-headers"),
        required_extra_body=mapping(required_extra_body, "--required-extra-body"),
        options=mapping(options, "--options"),
        description=description,
        project=project,
    )
    changes = some_changes(_settable(given))
    fields: dict[str, Any] = {}
    if not replace:
        fields = _settable(session.client.inference.providers.retrieve(name).model_dump(mode="json"))
        # A PUT that omits the options keeps them.
        del fields["options"]
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


def _settable(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a user may set, of what an input file or a reply holds."""
    from modelport_contracts.resources.providers import ProviderUpdate

    ours = set(ProviderUpdate.model_fields) - {"model_deployment_id", "auth_context"}
    return {name: value for name, value in fields.items() if name in ours}

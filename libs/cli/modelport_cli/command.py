"""Declaring commands: every command also takes the global flags, and gets a session."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from modelport_cli.failures import reported
from modelport_cli.session import GlobalFlags, OutputFormat, Session

GLOBAL_PANEL = "Global options"


def _output_format(text: str) -> OutputFormat:
    try:
        return OutputFormat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(OutputFormat)}") from None


BaseUrl = Annotated[
    str | None,
    typer.Option("--base-url", metavar="URL", help="The platform's address.", rich_help_panel=GLOBAL_PANEL),
]
Workspace = Annotated[
    str | None,
    typer.Option("--workspace", metavar="NAME", help="The workspace to work in.", rich_help_panel=GLOBAL_PANEL),
]
Format = Annotated[
    OutputFormat | None,
    typer.Option(
        "--output-format",
        "-f",
        metavar="FORMAT",
        parser=_output_format,
        help="table, json, yaml, csv or raw; without it table on a terminal, else json.",
        rich_help_panel=GLOBAL_PANEL,
    ),
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Show requests and details of errors.", rich_help_panel=GLOBAL_PANEL),
]
GLOBAL_FLAGS: dict[str, tuple[Any, Any]] = {
    "base_url": (BaseUrl, None),
    "workspace": (Workspace, None),
    "output_format": (Format, None),
    "verbose": (Verbose, False),
}

Body = Callable[..., None]


def group(help: str) -> typer.Typer:  # noqa: A002 (typer's name for it)
    """Make a group of commands."""
    # Plain help and errors: importing rich takes 0.1 s, which every `--help` would pay.
    return typer.Typer(help=help, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


def _change_command(context: typer.Context, name: object) -> str | None:
    """Name the command beside the one that runs which changes a resource of this name."""
    beside = getattr(context.parent and context.parent.command, "commands", {})
    word = next((word for word in ("update", "patch") if word in beside), None)
    if context.parent is None or word is None or not isinstance(name, str):
        return None
    return f"{context.parent.command_path} {word} {name}"


def command(app: typer.Typer, name: str) -> Callable[[Body], Body]:
    """Add a function as a command: its first parameter is the session, the rest are arguments and options."""

    def add(body: Body) -> Body:
        own = list(inspect.signature(body).parameters.values())[1:]

        @functools.wraps(body)
        def run(typer_context: typer.Context, **values: Any) -> None:
            later = GlobalFlags(**{flag: values.pop(flag) for flag in GLOBAL_FLAGS})
            earlier = typer_context.obj if isinstance(typer_context.obj, GlobalFlags) else GlobalFlags()
            session = Session(earlier.overridden_by(later), _change_command(typer_context, values.get("name")))
            try:
                with reported(session):
                    body(session, **values)
            finally:
                session.close()

        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [
            inspect.Parameter("typer_context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context),
            *(parameter.replace(kind=keyword) for parameter in own),
            *(
                inspect.Parameter(flag, keyword, annotation=annotation, default=default)
                for flag, (annotation, default) in GLOBAL_FLAGS.items()
            ),
        ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        app.command(name)(run)
        return body

    return add

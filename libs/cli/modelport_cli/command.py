"""Declaring commands: every command also takes the global flags, and gets a session."""

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable
from typing import Annotated, Any

import typer

from modelport_cli.failures import UsageError, reported
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


def _check_text(context: typer.Context) -> None:
    """Refuse arguments whose bytes are no UTF-8, but as names of files. Raises UsageError, which names the argument."""
    for one in context.command.params:
        given = context.params.get(one.name or "")
        for text in given if isinstance(given, list | tuple) else [given]:
            # Python has such bytes as half characters.
            if isinstance(text, str) and one.metavar not in _PATHS and re.search("[\ud800-\udfff]", text):
                raise UsageError(
                    f"{one.opts[0] if one.param_type_name == 'option' else one.metavar} is no text (UTF-8)"
                )


_PATHS = {"FILE", "FOLDER"}


def _change_command(context: typer.Context, name: object) -> str | None:
    """Name the command beside the one that runs which changes a resource of this name."""
    beside = getattr(context.parent and context.parent.command, "commands", {})
    word = next((word for word in ("update", "patch") if word in beside), None)
    if context.parent is None or word is None or not isinstance(name, str):
        return None
    return f"{context.parent.command_path} {word} {name}"


def _expanded(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    """Return a parameter, or in place of a set of options the options."""
    if not dataclasses.is_dataclass(parameter.annotation):
        return [parameter]
    return [
        inspect.Parameter(one.name, parameter.kind, annotation=one.type, default=one.default)
        for one in dataclasses.fields(parameter.annotation)
    ]


def command(app: typer.Typer, name: str) -> Callable[[Body], Body]:
    """Add a function as a command: its first parameter is the session, the rest are arguments and options.

    A parameter whose type is a dataclass stands for as many options as that has fields: what several commands take.
    """

    def add(body: Body) -> Body:
        own = list(inspect.signature(body).parameters.values())[1:]
        sets: dict[str, Any] = {one.name: one.annotation for one in own if dataclasses.is_dataclass(one.annotation)}

        @functools.wraps(body)
        def run(typer_context: typer.Context, **values: Any) -> None:
            later = GlobalFlags(**{flag: values.pop(flag) for flag in GLOBAL_FLAGS})
            earlier = typer_context.obj if isinstance(typer_context.obj, GlobalFlags) else GlobalFlags()
            for parameter, options in sets.items():
                values[parameter] = options(**{one.name: values.pop(one.name) for one in dataclasses.fields(options)})
            session = Session(earlier.overridden_by(later), _change_command(typer_context, values.get("name")))
            try:
                with reported(session):
                    _check_text(typer_context)
                    body(session, **values)
            finally:
                session.close()

        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [
            inspect.Parameter("typer_context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context),
            *(one.replace(kind=keyword) for parameter in own for one in _expanded(parameter)),
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

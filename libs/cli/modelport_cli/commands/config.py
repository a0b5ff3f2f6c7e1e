"""`nemo config`: where the platform is and who asks, kept in a file."""

import os
import sys
from typing import Annotated

import typer

from modelport_cli.command import command, group
from modelport_cli.failures import UsageError
from modelport_cli.inputs import read_text
from modelport_cli.output import show_value
from modelport_cli.session import OutputFormat, Session
from modelport_cli.text import note

app = group("The configuration file: contexts with an address, a workspace and a token.")

Context = Annotated[str | None, typer.Option("--context", metavar="NAME", help="Not the current context but this one.")]


@command(app, "set")
def set_(
    session: Session,
    access_token: Annotated[
        str | None,
        typer.Option("--access-token", metavar="TOKEN", help="A token; - asks for it, or reads it from a pipe."),
    ] = None,
    context: Context = None,
    activate: Annotated[bool, typer.Option("--activate", help="Make that context the current one.")] = False,
) -> None:
    """Keep --base-url, --workspace or --access-token in a context, which is made if need be."""
    from modelport.config import DEFAULT_CONTEXT, ConfigFile, check_token, config_path

    flags = session.flags
    if flags.base_url is None and flags.workspace is None and access_token is None and not activate:
        raise UsageError("nothing to set", "Give --base-url, --workspace or --access-token")
    file = ConfigFile.load(config_path(os.environ))
    name = context or file.current_context or DEFAULT_CONTEXT
    token = _token() if access_token == "-" else access_token  # noqa: S105 (stdin's name)
    if token is not None:
        token = check_token(token, "--access-token")
    file.set(name, base_url=session.checked_base_url, workspace=session.checked_workspace, token=token)
    if activate:
        file.use(name)
    file.save()
    note(f"Context {name} is kept in {file.path}.")


@command(app, "view")
def view(
    session: Session,
    all_contexts: Annotated[bool, typer.Option("--all-contexts", help="The whole file.")] = False,
) -> None:
    """Show the current context, tokens masked."""
    from modelport.config import ConfigFile, config_path

    file = ConfigFile.load(config_path(os.environ))
    content = file.masked()
    if not all_contexts:
        file.current()  # says so where the file names a context that it does not have
        chosen = [one for one in content.get("contexts", []) if one["name"] == file.current_context]
        content["contexts"] = chosen
        for section, reference in (("clusters", "cluster"), ("users", "user")):
            used = {one.get(reference) for one in chosen}
            content[section] = [one for one in content.get(section, []) if one["name"] in used]
    if session.flags.output_format in (None, OutputFormat.TABLE, OutputFormat.CSV):
        import yaml

        print(f"# {file.path}")
        print(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), end="")
    else:
        show_value(session, content)


@command(app, "use-context")
def use_context(
    session: Session, name: Annotated[str, typer.Argument(metavar="NAME", help="A context of the file.")]
) -> None:
    """Make a context the current one."""
    from modelport.config import ConfigFile, config_path

    file = ConfigFile.load(config_path(os.environ))
    file.use(name)
    file.save()
    note(f"The current context is {name}.")


def _token() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Token", hide_input=True, err=True))
    return read_text("-", "--access-token")

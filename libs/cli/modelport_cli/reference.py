"""The command line's reference, docs/cli.md, made from the commands themselves.

`python -m modelport_cli.reference` writes it; with `--check` it says whether it is up to date (exit code 1: not).
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from modelport_cli.app import app
from modelport_cli.command import GLOBAL_FLAGS

FILE = Path("docs/cli.md")
_PROGRAM = "nemo"
_HEAD = f"""# The command line

Generated from the commands (`python -m modelport_cli.reference`); what they rest on is in [wire.md](wire.md), 5 and 6.
The program has two names, `nemo` and `modelport`.

Exit codes: 0 done, 1 the platform said no or is away, 2 wrong usage, 130 after Ctrl-C. Results go to stdout, everything
else to stderr. Without `-f` results are tables on a terminal and JSON elsewhere.

| variable | meaning |
|---|---|
| `NMP_BASE_URL`, `NMP_WORKSPACE`, `NMP_ACCESS_TOKEN` | address, workspace and token; a flag goes before it, the configuration file after |
| `NMP_CONFIG_FILE` | the configuration file; else `$XDG_CONFIG_HOME/nmp/config.yaml` or `~/.config/nmp/config.yaml` |
| `MODELPORT_PORT`, `MODELPORT_DATA_DIR` | what `{_PROGRAM} services run` takes where it has no flag |
"""  # noqa: E501


def render() -> str:
    """Return the whole page."""
    root: Any = typer.main.get_command(app)
    commands = list(_leaves(root, (_PROGRAM,)))
    parts = [_HEAD, "## Global options\n\nBefore or after any command.\n", _options(root, everything=True)]
    parts.append("## Commands\n\n" + "\n".join(_menu_line(words, command) for words, command in commands) + "\n")
    parts += [_section(words, command) for words, command in commands]
    return "\n".join(parts)


def main() -> int:
    """Write the page, or with --check compare it."""
    text = render()
    if "--check" not in sys.argv[1:]:
        FILE.write_text(text, encoding="utf-8")
        return 0
    if FILE.exists() and FILE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{FILE} is out of date: run python -m modelport_cli.reference", file=sys.stderr)
    return 1


def _leaves(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Walk the tree of commands in the order in which help shows it."""
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield words, command
        return
    for name, subcommand in subcommands.items():
        yield from _leaves(subcommand, (*words, name))


def _menu_line(words: tuple[str, ...], command: Any) -> str:
    title = " ".join(words)
    first = _help(command).partition("\n")[0].partition(". ")[0].rstrip(".")
    return f"- [`{title}`](#{title.replace(' ', '-')}): {first}"


def _section(words: tuple[str, ...], command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    usage = " ".join([*words, *(_argument(one) for one in arguments), "[OPTIONS]"])
    lines = [f"### {' '.join(words)}\n", f"```\n{usage}\n```\n", _prose(_help(command)) + "\n"]
    rows = [f"| `{_argument(one)}` | {_cell(one.help)} |" for one in arguments]
    if rows:
        lines.append("\n".join(["| argument | |", "|---|---|", *rows]) + "\n")
    options = _options(command)
    return "\n".join([*lines, options] if options else lines)


def _options(command: Any, *, everything: bool = False) -> str:
    rows = []
    for one in command.params:
        shared = one.name in GLOBAL_FLAGS or "completion" in one.name
        if one.param_type_name != "option" or one.name == "help" or (shared and not everything):
            continue
        names = ", ".join(f"`{name}`" for name in sorted(one.opts, key=len, reverse=True))
        value = "" if one.is_flag else f" `{one.metavar or 'TEXT'}`"
        default = "" if one.default in (None, False, ()) or one.is_flag else f" Default: {one.default}."
        rows.append(f"| {names}{value} | {_cell(one.help)}{default} |")
    return "\n".join(["| option | |", "|---|---|", *rows]) + "\n" if rows else ""


def _argument(argument: Any) -> str:
    name = str(argument.metavar or argument.name.upper()).strip("[]{}")
    return name if argument.required else f"[{name}]"


def _help(command: Any) -> str:
    return str(command.help or "").strip()


def _prose(text: str) -> str:
    """Set example lines, which begin with a command, as code."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(f"```\n{one}\n```" if one.startswith((_PROGRAM, "echo")) else one for one in paragraphs)


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())

"""What users give in flags, files and pipes."""

import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from modelport_cli.failures import UsageError
from modelport_cli.text import few

MAX_INPUT_BYTES = 1024 * 1024

InputFile = Annotated[
    str | None, typer.Option("--input-file", metavar="FILE", help="Fields as JSON or YAML; - is stdin.")
]
InputData = Annotated[str | None, typer.Option("--input-data", metavar="TEXT", help="Fields as JSON or YAML.")]

Filter = Annotated[
    str | None,
    typer.Option("--filter", metavar="TEXT", help='Such as \'status:"READY"\' or \'{"name": {"$like": "gpt"}}\'.'),
]
Sort = Annotated[str | None, typer.Option("--sort", metavar="FIELD", help="A field; - in front: descending.")]
PageNumber = Annotated[int | None, typer.Option("--page", min=1, metavar="N", help="Which page.")]
PageSize = Annotated[
    int | None, typer.Option("--page-size", min=1, max=1000, metavar="N", help="Items on a page, 1 to 1000.")
]
AllPages = Annotated[bool, typer.Option("--all-pages", help="This page and all after it.")]


@dataclass(frozen=True)
class ListFlags:
    """What every list takes."""

    filter: Filter = None
    sort: Sort = None
    page: PageNumber = None
    page_size: PageSize = None
    all_pages: AllPages = False

    def query(self) -> dict[str, Any]:
        """Return what the SDK's lists take of it."""
        return {"filter": self.filter, "sort": self.sort, "page": self.page, "page_size": self.page_size}


Value = Annotated[
    str | None,
    typer.Option("--value", metavar="TEXT", help="The secret itself. Other users may see it in the process list."),
]
FromFile = Annotated[
    str | None, typer.Option("--from-file", metavar="FILE", help="The file with the secret; - is stdin.")
]
Description = Annotated[str | None, typer.Option("--description", metavar="TEXT", help="What it is for.")]
Project = Annotated[str | None, typer.Option("--project", metavar="TEXT", help="A project, as free text.")]
ExistOk = Annotated[bool, typer.Option("--exist-ok", help="Where it exists, show it as it is; no error.")]


def structured(text: str, flag: str) -> Any:
    """Parse JSON or YAML. Raises UsageError that names the flag and does not repeat the text."""
    from modelport.documents import DocumentError, parse

    try:
        return parse(text)
    except DocumentError as error:
        raise UsageError(f"{flag} {error}") from None


def mapping(text: str | None, flag: str) -> dict[str, Any] | None:
    """Parse an object; None stays None. Raises UsageError."""
    if text is None:
        return None
    value = structured(text, flag)
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise UsageError(f"{flag} must be an object", 'Such as \'{"name": "value"}\', as JSON or YAML')
    return value


def headers(text: str | None, flag: str) -> dict[str, str] | None:
    """Parse an object of header names and values; None stays None. Raises UsageError."""
    fields = mapping(text, flag)
    if fields is None:
        return None
    for name, value in fields.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise UsageError(f"{flag}: the value of {name} must be text; put it in quotes")
    return {name: str(value) for name, value in fields.items()}


def items(text: str | None, flag: str) -> list[Any] | None:
    """Parse a list; None stays None. Raises UsageError."""
    if text is None:
        return None
    value = structured(text, flag)
    if not isinstance(value, list):
        raise UsageError(f"{flag} must be a list", 'Such as \'[{"model": "default/gpt-4"}]\', as JSON or YAML')
    return value


@dataclass(frozen=True)
class Read:
    """Beside a flag's declaration: how its text becomes a field's value. The reader is given text and flag."""

    reader: Callable[[str, str], Any]


class FieldFlags(ABC):
    """Base of the sets of flags, dataclasses, that stand for the fields of a resource."""

    input_file: InputFile
    input_data: InputData

    @staticmethod
    @abstractmethod
    def settable() -> Collection[str]:
        """Name the fields that a user may set."""

    @staticmethod
    @abstractmethod
    def shown() -> Collection[str]:
        """Name the fields that the platform shows: those of them that nobody may set are left out of what is sent.

        So what `get` prints may be given back with changes.
        """

    def fields(self) -> dict[str, Any]:
        """Return the fields: those of --input-file or --input-data, and over them the flags. Raises UsageError."""
        if self.input_file is not None and self.input_data is not None:
            raise UsageError("give --input-file or --input-data, not both")
        flag = "--input-file" if self.input_file is not None else "--input-data"
        text = read_text(self.input_file, flag) if self.input_file is not None else self.input_data
        fields = mapping(text, flag) or {}
        settable = self.settable()
        # A misspelt field that is left out may mean more than all the others: without enabled_models all are enabled.
        unknown = sorted(fields.keys() - settable - set(self.shown()))
        if unknown:
            raise UsageError(
                f"{flag} has fields that there are not: {few(unknown, len(unknown))}",
                f"There are: {', '.join(sorted(settable))}",
            )
        for name, annotation in inspect.get_annotations(type(self)).items():
            value = getattr(self, name)
            if value is not None and value != []:
                readers = [one.reader for one in annotation.__metadata__ if isinstance(one, Read)]
                fields[name] = readers[0](value, f"--{name.replace('_', '-')}") if readers else value
        return {name: value for name, value in fields.items() if name in settable}


def valid_name(name: str | None) -> str | None:
    """Check the name of a resource (docs/wire.md, 3.2). Raises BadParameter, which names the argument."""
    from modelport_contracts.names import NAME_RULE, is_name

    if name is not None and not is_name(name):
        raise typer.BadParameter(f"not a valid name; a name has {NAME_RULE}")
    return name


def valid_virtual_model_name(name: str | None) -> str | None:
    """Check the name of a virtual model, which may end in one `*`. Raises BadParameter, which names the argument."""
    from modelport_contracts.names import NAME_RULE, is_virtual_model_name

    if name is not None and not is_virtual_model_name(name):
        raise typer.BadParameter(f"not a valid virtual model name; a name has {NAME_RULE}, or ends in one *")
    return name


def some_changes(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what an update names, with None where an empty text is to empty a field. Raises UsageError for nothing."""
    if not fields:
        raise UsageError("nothing to change", "Name what is to change; --help lists the flags")
    return {name: None if value == "" else value for name, value in fields.items()}


def require(fields: dict[str, Any], name: str, flag: str) -> Any:
    """Return a field that must have been given in one way or another. Raises UsageError."""
    if fields.get(name) in (None, ""):
        raise UsageError(f"{flag} is missing")
    return fields[name]


def secret_value(value: str | None, from_file: str | None, *, required: bool) -> str | None:
    """Get a secret's text from a flag, a file, stdin, or a hidden prompt; whitespace around it is dropped.

    None where nothing was given and nothing is `required`. Raises UsageError, never with the text in it.
    """
    if value is not None and from_file is not None:
        raise UsageError("give --value or --from-file, not both")
    if value is not None:
        return _not_empty(value, "--value is empty")
    if from_file == "-":
        return _not_empty(
            read_text("-", "--from-file"),
            "stdin is empty: there is no secret to store",
            "Is the variable set? Try: echo ${#YOUR_VARIABLE}",
        )
    if from_file is not None:
        return _not_empty(read_text(from_file, "--from-file"), f"{from_file} is empty: there is no secret to store")
    if not required:
        return None
    if not sys.stdin.isatty():
        raise UsageError("no secret was given", "Pipe it in with --from-file -, or name a file with --from-file FILE")
    return _not_empty(typer.prompt("Value", hide_input=True, err=True), "nothing was typed")


def read_text(source: str, flag: str) -> str:
    """Read a file, or stdin for `-`, as UTF-8. Raises UsageError."""
    try:
        if source == "-":
            raw = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                raw = file.read(MAX_INPUT_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{flag}: cannot read {source}: {error.strerror}") from error
    if len(raw) > MAX_INPUT_BYTES:
        raise UsageError(f"{flag}: more than {MAX_INPUT_BYTES} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{flag}: {'stdin' if source == '-' else source} is no text (UTF-8)") from None


def _not_empty(text: str, message: str, hint: str | None = None) -> str:
    stripped = text.strip()
    if not stripped:
        raise UsageError(message, hint)
    return stripped

"""The generated references: docs/cli.md, docs/sdk.md and docs/http.md. `--check` says whether they are up to date."""

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SDK_FILE = Path("docs/sdk.md")
SDK_HEAD = """# The SDK

Generated from the code (`python tools/references.py`); what it rests on is in [wire.md](wire.md), 4.

```python
from modelport import AsyncModelport, Modelport

with Modelport() as client:
    for provider in client.inference.providers.list():
        print(provider.name, provider.status)
```

`AsyncModelport` has the same resources and methods, to be awaited; its lists are awaited for their first page or
iterated over with `async for`. Every method that belongs to a workspace takes `workspace=`; without it the client's
is used.
"""


def sdk_page() -> str:
    """Return docs/sdk.md."""
    # The page must not depend on who makes it.
    os.environ["NMP_CONFIG_FILE"] = os.devnull
    import modelport
    from modelport import errors, events, pages

    parts = [SDK_HEAD, "## The clients\n", _klass("Modelport", modelport.Modelport, methods=False)]
    with modelport.Modelport("http://localhost:8080") as client:
        parts += [
            _method("client", name, getattr(client, name)) for name in ("status", "cluster_info", "request", "close")
        ]
        parts += [_resource(path, resource) for path, resource in _resources(client)]
    parts.append("## Streams and pages\n")
    for thing in (events.Event, events.EventStream, pages.SyncPage):
        parts.append(_klass(thing.__name__, thing))
    parts.append("## Errors\n\n| error | base | |\n|---|---|---|")
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.ModelportError)]
    for kind in sorted(kinds, key=lambda one: [base.__name__ for base in reversed(one.__mro__)]):
        base = "" if kind is errors.ModelportError else f"`{kind.__bases__[0].__name__}`"
        parts.append(
            f"| `{kind.__name__}` | {base} | {_text(kind).replace(chr(10), ' ').replace('|', chr(92) + '|')} |"
        )
    return "\n".join(parts) + "\n"


def _resources(thing: Any, path: str = "client") -> Iterator[tuple[str, Any]]:
    for name, value in vars(thing).items():
        if not name.startswith("_"):
            yield f"{path}.{name}", value
            yield from _resources(value, f"{path}.{name}")


def _resource(path: str, resource: Any) -> str:
    kind = type(resource)
    names = [name for name, value in vars(kind).items() if callable(value) and not name.startswith("_")]
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(str(inspect.signature(getattr(resource, name))), []).append(name)
    body = [_same(path, group, resource) for group in alike.values()]
    about = _text(kind).partition(": ")[2]
    return "\n".join([f"## {path}\n", *([about[:1].upper() + about[1:] + "\n"] if about else []), *body])


def _same(path: str, names: list[str], resource: Any) -> str:
    """Describe methods that take and return the same."""
    if len(names) < 5:  # chance, as with retrieve and get
        return "\n".join(_method(path, name, getattr(resource, name)) for name in names)
    shown = next(name for name in names if name == "post")
    others = ", ".join(f"`{name}`" for name in names if name != shown)
    return f"{_method(path, shown, getattr(resource, shown))}\nThe same for {others}.\n"


def _klass(name: str, kind: type, *, methods: bool = True) -> str:
    lines = [f"### {name}\n"]
    if not methods:
        lines.append(_signature(name, inspect.signature(kind).replace(return_annotation=inspect.Signature.empty)))
    lines.append(_text(kind) + "\n")
    members = {name: value for base in reversed(kind.__mro__) for name, value in vars(base).items()}
    for member, value in members.items() if methods else ():
        if member.startswith("_"):
            continue
        if isinstance(value, property):
            lines.append(f"- `{member}`: {_text(value)}")
        elif inspect.isfunction(value):
            lines.append(f"- `{member}()`: {_text(value)}")
    return "\n".join(lines) + ("\n" if methods else "")


def _method(path: str, name: str, method: Any) -> str:
    return f"{_signature(f'{path}.{name}', inspect.signature(method))}\n{_text(method)}\n"


def _signature(name: str, signature: inspect.Signature) -> str:
    bare = [parameter for parameter in signature.parameters.values() if parameter.name != "self"]
    pieces = []
    for parameter in bare:
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in pieces:
            pieces.append("*")
        default = "" if parameter.default is parameter.empty else f" = {_default(parameter.default)}"
        pieces.append(f"{parameter.name}: {_type(parameter.annotation)}{default}")
    returns = _result(signature.return_annotation)
    line = f"{name}({', '.join(pieces)}){returns}"
    if len(line) > 100:
        line = f"{name}(\n" + "".join(f"    {piece},\n" for piece in pieces) + f"){returns}"
    return f"```python\n{line}\n```\n"


def _default(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _type(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text)


def _result(annotation: Any) -> str:
    """Show what a method returns: a call's reply, a list's page, a flow's end."""
    if annotation is inspect.Signature.empty:
        return ""
    text = _type(annotation).replace("NoneType", "None")
    wrapped = re.fullmatch(r"(Call|ListCall)\[(.*)\]", text)
    if wrapped:
        text = wrapped[2] if wrapped[1] == "Call" else f"SyncPage[{wrapped[2]}]"
    elif text == "Forward":
        text = "Any"
    elif text.startswith("Generator["):
        text = text.rpartition(", ")[2].removesuffix("]")
    return f" -> {text}"


def _text(thing: Any) -> str:
    return inspect.getdoc(thing) or ""


def main() -> int:
    """Write the pages, or check them."""
    arguments = sys.argv[1:]
    os.chdir(ROOT)
    page = sdk_page()
    if "--check" not in arguments:
        SDK_FILE.write_text(page, encoding="utf-8")
        failed = False
    else:
        failed = not SDK_FILE.exists() or SDK_FILE.read_text(encoding="utf-8") != page
        if failed:
            print(f"{SDK_FILE} is out of date: run python tools/references.py", file=sys.stderr)
    others = (["-m", "modelport_cli.reference"], ["tools/http_reference.py"])
    codes = [subprocess.run([sys.executable, *one, *arguments], check=False).returncode for one in others]  # noqa: S603
    return 1 if failed or any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())

"""`nemo inference gateway`: any request through one of the three routes."""

import sys
from typing import Annotated, Any

import typer

from modelport_cli.command import command, group
from modelport_cli.failures import UsageError
from modelport_cli.inputs import InputData, InputFile, read_text, structured, valid_name, valid_virtual_model_name
from modelport_cli.output import show_item, show_value
from modelport_cli.session import OutputFormat, Session

app = group("Any request through the gateway, to a provider or a model.")
provider = group("To one provider, whatever its status.")
model = group("To one model, whichever provider serves it.")
openai = group("To the model that the body names.")
app.add_typer(provider, name="provider")
app.add_typer(model, name="model")
app.add_typer(openai, name="openai")

Trailing = Annotated[str, typer.Argument(metavar="TRAILING", help="What follows /-/, such as v1/chat/completions.")]
NameArgument = Annotated[str | None, typer.Argument(metavar="[NAME]", help="The same as --name.")]
NameOption = Annotated[str | None, typer.Option("--name", metavar="NAME", help="Of the provider or model.")]
Body = Annotated[str | None, typer.Option("--body", metavar="TEXT", help="The request's body, JSON or YAML.")]


def _declare_named(methods: Any, kind: str, http_method: str) -> None:
    check = valid_name if kind == "provider" else valid_virtual_model_name

    def send(
        session: Session,
        trailing: Trailing,
        name_argument: NameArgument = None,
        name: NameOption = None,
        body: Body = None,
        input_file: InputFile = None,
        input_data: InputData = None,
    ) -> None:
        if name is not None and name_argument is not None and name != name_argument:
            raise UsageError("give the name once")
        target = name or name_argument
        if not target:
            raise UsageError(f"--name is missing: the {kind} to send it to")
        check(target)
        route = getattr(session.client_with(timeout=_TIMEOUT_S).inference.gateway, kind)
        _send(session, getattr(route, http_method), trailing, _body(body, input_file, input_data), name=target)

    send.__doc__ = f"Send {http_method.upper()} to a {kind}. A body with stream: true is answered event by event."
    command(methods, http_method)(send)


def _declare_openai(http_method: str) -> None:
    def send(
        session: Session,
        trailing: Trailing,
        body: Body = None,
        input_file: InputFile = None,
        input_data: InputData = None,
    ) -> None:
        route = session.client_with(timeout=_TIMEOUT_S).inference.gateway.openai
        _send(session, getattr(route, http_method), trailing, _body(body, input_file, input_data))

    send.__doc__ = (
        f"Send {http_method.upper()} to the model that the body names. A body with stream: true is answered event "
        "by event."
    )
    command(openai, http_method)(send)


_TIMEOUT_S = 600.0

for _method in ("get", "post", "put", "patch", "delete"):
    _declare_named(provider, "provider", _method)
    _declare_named(model, "model", _method)
    _declare_openai(_method)


@command(provider, "ready")
def ready(
    session: Session, name: Annotated[str, typer.Argument(metavar="NAME", help="The provider.", callback=valid_name)]
) -> None:
    """Ask whether the gateway can route to a provider."""
    show_item(session, session.client.inference.gateway.provider.ready(name))


def _body(body: str | None, input_file: str | None, input_data: str | None) -> Any:
    given = [text for text in (body, input_file, input_data) if text is not None]
    if len(given) > 1:
        raise UsageError("give one of --body, --input-file and --input-data")
    if input_file is not None:
        return structured(read_text(input_file, "--input-file"), "--input-file")
    if input_data is not None:
        return structured(input_data, "--input-data")
    return None if body is None else structured(body, "--body")


def _send(session: Session, method: Any, trailing: str, body: Any, **target: str) -> None:
    if session.flags.output_format is OutputFormat.CSV:
        raise UsageError("a reply cannot be shown as csv", "json, yaml and raw show all of it")
    if isinstance(body, dict) and body.get("stream") is True:
        with method(trailing, body=body, stream=True, **target) as events:
            for event in events:
                print(event.data, flush=True)
        return
    reply = method(trailing, body=body, raw=True, **target)
    if session.flags.output_format is OutputFormat.RAW:
        sys.stdout.buffer.write(reply.content)
        return
    from modelport.resources.gateway import parse_any

    parsed = parse_any(reply)
    if isinstance(parsed, bytes):
        sys.stdout.buffer.write(parsed)
    elif isinstance(parsed, str):
        print(parsed)
    elif parsed is not None:
        show_value(session, parsed)

"""`nemo chat`."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelport_cli.command import command
from modelport_cli.dialects import AnthropicMessages, ChatOptions, Dialect, Message, OpenAIChat
from modelport_cli.failures import CommandError, UsageError, describe
from modelport_cli.inputs import read_text, valid_name
from modelport_cli.output import show_value
from modelport_cli.session import OutputFormat, Session
from modelport_cli.text import note, printable

if TYPE_CHECKING:
    from modelport import Modelport

TIMEOUT_S = 600.0
"""As long as the gateway waits for a provider's first byte (docs/dataplane.md, Timeouts)."""

Model = Annotated[str, typer.Argument(metavar="MODEL", help="With --provider the provider's own id, as it is.")]
Prompt = Annotated[
    str | None, typer.Argument(metavar="[PROMPT]", help="Without it: stdin if piped, else a conversation.")
]
Provider = Annotated[
    str | None,
    typer.Option(
        "--provider", metavar="NAME", help="Ask this provider; else whichever serves MODEL.", callback=valid_name
    ),
]
SystemMessage = Annotated[str | None, typer.Option("--system-message", metavar="TEXT", help="Said beforehand.")]
Temperature = Annotated[float | None, typer.Option("--temperature", min=0, max=2, metavar="NUMBER", help="0 to 2.")]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", min=1, metavar="N", help="The answer's length at most.")]


def add_to(root: typer.Typer) -> None:
    """Add the command to the command line."""
    command(root, "chat")(chat)


def chat(
    session: Session,
    model: Model,
    prompt: Prompt = None,
    provider: Provider = None,
    system_message: SystemMessage = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
) -> None:
    """Talk to a model. The answer appears as it comes; -f json shows the whole reply instead.

    nemo chat gpt-4 'Hello!' --provider openai
    """
    if prompt is None and not sys.stdin.isatty():
        prompt = read_text("-", "stdin").strip()
        if not prompt:
            raise UsageError("stdin is empty: there is nothing to ask")
    if prompt is not None and not prompt.strip():
        raise UsageError("the prompt is empty")
    if session.flags.output_format is OutputFormat.CSV:
        raise UsageError("an answer cannot be shown as csv", "json, yaml and raw show the whole reply")
    if prompt is None and not _streams(session):
        raise UsageError("a conversation cannot be shown in this format", "Give a PROMPT, or leave out -f")
    client = session.client_with(timeout=TIMEOUT_S)
    talk = Conversation(
        model,
        ChatOptions(system_message, temperature, max_tokens),
        find_dialect(client, model, provider),
        _route(client, provider),
    )
    if prompt is None:
        _converse(session, talk)
    elif _streams(session):
        talk.say(prompt, _show)
    else:
        _show_reply(session, talk.ask(prompt))


@dataclass
class Conversation:
    """A model, how it is reached, and what was said."""

    model: str
    options: ChatOptions
    dialect: Dialect
    post: Callable[..., Any]
    said: Sequence[Message] = ()

    def say(self, prompt: str, show: Callable[[str], None]) -> None:
        """Send a prompt after what was said, and show the answer as it comes. It is kept once it is complete."""
        messages = [*self.said, Message("user", prompt)]
        answer = ""
        try:
            with self.post(self.dialect.path, body=self._body(messages), stream=True) as events:
                for event in events:
                    text = self.dialect.text_of(_json_of(event.data))
                    answer += text
                    show(text)
        except KeyboardInterrupt:
            # The terminal has put ^C behind whatever there is of the answer.
            answer += "\n"
            show("\n")
            raise
        finally:
            if answer and not answer.endswith("\n"):
                show("\n")
        if not answer:
            note("The model answered without text.")
        self.said = [*messages, Message("assistant", answer)]

    def ask(self, prompt: str) -> Any:
        """Send one prompt and return the whole reply, as httpx has it."""
        return self.post(self.dialect.path, body=self._body([Message("user", prompt)]), raw=True)

    def _body(self, messages: Sequence[Message]) -> dict[str, Any]:
        return self.dialect.body(self.model, messages, self.options)


def find_dialect(client: "Modelport", model: str, provider: str | None) -> Dialect:
    """Return the dialect of a model: what its entity says, else OpenAI's. Raises NotFoundError for the provider."""
    from modelport import StatusError

    reference = _served_entity(client, model, provider) if provider else _target_entity(client, model)
    if isinstance(reference, str):
        workspace, _, name = reference.rpartition("/")
        try:
            entity = client.models.retrieve(name, workspace=workspace or None)
        except StatusError:
            return OpenAIChat()
        reference = AnthropicMessages() if entity.backend_format == "ANTHROPIC_MESSAGES" else OpenAIChat()
    return reference or OpenAIChat()


def _served_entity(client: "Modelport", model: str, provider: str) -> str | None:
    """Name the entity of a provider's model."""
    served = client.inference.providers.retrieve(provider).served_models
    return next((one.model_entity_id for one in served if one.served_model_name == model), None)


def _target_entity(client: "Modelport", model: str) -> "str | Dialect | None":
    """Name the first target of a virtual model, or say its dialect where it has one of its own."""
    from modelport import StatusError
    from modelport_contracts.names import entity_name, is_virtual_model_name

    short = model.removeprefix(f"{client.workspace}/")
    name = short if is_virtual_model_name(short) else entity_name(model, client.workspace)
    if name is None:
        return None
    try:
        found = client.inference.virtual_models.retrieve(name)
    except StatusError:
        return None
    if not found.models:
        return found.default_model_entity
    first = found.models[0]
    if first.backend_format is None:
        return first.model
    return AnthropicMessages() if first.backend_format == "ANTHROPIC_MESSAGES" else OpenAIChat()


def _route(client: "Modelport", provider: str | None) -> Callable[..., Any]:
    """Return what sends a request by the chosen route, with a clear error where the provider has no such path."""
    from modelport import NotFoundError

    def post(path: str, **options: Any) -> Any:
        try:
            if provider is None:
                return client.inference.gateway.openai.post(path, **options)
            return client.inference.gateway.provider.post(path, name=provider, **options)
        except NotFoundError as error:
            if error.origin != "upstream":
                raise CommandError(error.message, "`nemo inference models list` shows what can be called") from error
            raise CommandError(
                f"the provider answered 404 to {path}: {error.message}",
                "It has no such model, or speaks another dialect: see `nemo inference providers get` and the "
                "backend_format of `nemo models get`",
            ) from error

    return post


def _converse(session: Session, talk: Conversation) -> None:
    """Ask for prompts until the end of input. An error ends one turn, not the conversation."""
    import readline  # noqa: F401 (gives input() line editing and its own history)

    note(f"Talking to {talk.model}. Ctrl-C stops an answer; Ctrl-D or /exit ends.")
    while True:
        try:
            prompt = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if prompt in {"/exit", "/quit"}:
            return
        if not prompt:
            continue
        try:
            talk.say(prompt, _show)
        except KeyboardInterrupt:
            note("(stopped)")
        except Exception as error:
            message, hint, _ = describe(error, session)
            note(f"Error: {message}" + (f"\nHint: {hint}" if hint else ""))


def _streams(session: Session) -> bool:
    return session.flags.output_format in (None, OutputFormat.TABLE)


def _show(text: str) -> None:
    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def _show_reply(session: Session, reply: Any) -> None:
    if session.output_format is OutputFormat.RAW:
        sys.stdout.buffer.write(reply.content)
    else:
        show_value(session, _json_of(reply.text))


def _json_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise CommandError("the provider's reply is no JSON", "-f raw shows it as it is") from None

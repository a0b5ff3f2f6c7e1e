"""The two chat dialects: what a request looks like and where the text is in a reply. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

DEFAULT_ANTHROPIC_MAX_TOKENS = 1024
"""Anthropic's interface requires a limit."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation; role is user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class ChatOptions:
    """What a user may set about the answers; None leaves it to the model."""

    system_message: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None


class Dialect(Protocol):
    """How to ask a model and to read what it says."""

    @property
    def path(self) -> str:
        """Where requests go, below the route."""

    def body(self, model: str, messages: Sequence[Message], options: ChatOptions) -> dict[str, Any]:
        """Build a request's body."""

    def text_of(self, part: Any) -> str:
        """Return the text in an event of a stream, or in a whole reply; empty where it has none."""


class OpenAIChat:
    """OpenAI's chat completions, which most providers speak."""

    path = "v1/chat/completions"

    def body(self, model: str, messages: Sequence[Message], options: ChatOptions) -> dict[str, Any]:
        """Build a request's body."""
        system = [] if options.system_message is None else [Message("system", options.system_message)]
        members = {
            "model": model,
            "messages": [_plain(message) for message in (*system, *messages)],
            "temperature": options.temperature,
            "max_tokens": options.max_tokens,
        }
        return {name: value for name, value in members.items() if value is not None}

    def text_of(self, part: Any) -> str:
        """Return the text of a chunk (`delta`) or a completion (`message`)."""
        choices = part.get("choices") if isinstance(part, dict) else None
        if not choices:
            return ""
        said = choices[0].get("delta") or choices[0].get("message") or {}
        content = said.get("content")
        return content if isinstance(content, str) else ""


class AnthropicMessages:
    """Anthropic's messages."""

    path = "v1/messages"

    def body(self, model: str, messages: Sequence[Message], options: ChatOptions) -> dict[str, Any]:
        """Build a request's body."""
        members = {
            "model": model,
            "max_tokens": options.max_tokens or DEFAULT_ANTHROPIC_MAX_TOKENS,
            "system": options.system_message,
            "messages": [_plain(message) for message in messages],
            "temperature": options.temperature,
        }
        return {name: value for name, value in members.items() if value is not None}

    def text_of(self, part: Any) -> str:
        """Return the text of an event (`delta`) or a message (`content`)."""
        if not isinstance(part, dict):
            return ""
        if part.get("type") == "content_block_delta":
            text = part.get("delta", {}).get("text")
            return text if isinstance(text, str) else ""
        blocks = part.get("content")
        if part.get("type") != "message" or not isinstance(blocks, list):
            return ""
        return "".join(block.get("text", "") for block in blocks if block.get("type") == "text")


def _plain(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}

import pytest

from modelport_cli.dialects import AnthropicMessages, ChatOptions, Message, OpenAIChat

TALK = [Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "Who?")]
PLAIN = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Who?"},
]


def test_openai_requests() -> None:
    assert OpenAIChat().body("m", TALK, ChatOptions()) == {"model": "m", "messages": PLAIN}
    body = OpenAIChat().body("m", TALK, ChatOptions("Be brief", 0.0, 5))
    assert body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief"}, *PLAIN],
        "temperature": 0.0,
        "max_tokens": 5,
    }


def test_anthropic_requests() -> None:
    assert AnthropicMessages().body("m", TALK, ChatOptions()) == {"model": "m", "max_tokens": 1024, "messages": PLAIN}
    body = AnthropicMessages().body("m", TALK, ChatOptions("Be brief", 1.0, 5))
    assert body == {"model": "m", "max_tokens": 5, "system": "Be brief", "messages": PLAIN, "temperature": 1.0}


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ({"choices": [{"delta": {"content": "Hel"}}]}, "Hel"),
        ({"choices": [{"message": {"content": "Hello"}}]}, "Hello"),
        ({"choices": [{"delta": {"role": "assistant"}}]}, ""),
        ({"choices": [{"delta": {"content": None}}]}, ""),
        ({"choices": []}, ""),
        ({}, ""),
        ([], ""),
    ],
)
def test_openai_text(part: object, text: str) -> None:
    assert OpenAIChat().text_of(part) == text


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hel"}}, "Hel"),
        ({"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{"}}, ""),
        ({"type": "message_start", "message": {"content": []}}, ""),
        ({"type": "ping"}, ""),
        ({"type": "message", "content": [{"type": "text", "text": "a"}, {"type": "tool_use"}]}, "a"),
        (None, ""),
    ],
)
def test_anthropic_text(part: object, text: str) -> None:
    assert AnthropicMessages().text_of(part) == text

"""What is sent, what comes back, and in which combinations it is measured."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TAIL: Final = "v1/chat/completions"
MODEL: Final = "gpt-4"
PROVIDER: Final = "bench"
SSE_PROVIDER: Final = "bench-sse"
INFERENCE: Final = "/apis/inference-gateway/v2/workspaces/default"

DIRECT: Final = "direct"
NGINX: Final = "nginx"
PROVIDER_ROUTE: Final = "provider"
MODEL_ROUTE: Final = "model"
OPENAI_ROUTE: Final = "openai"
ROUTES: Final = {
    PROVIDER_ROUTE: f"{INFERENCE}/provider/{PROVIDER}/-",
    MODEL_ROUTE: f"{INFERENCE}/model/{MODEL}/-",
    OPENAI_ROUTE: f"{INFERENCE}/openai/-",
}
TARGETS: Final = (DIRECT, NGINX, *ROUTES)
TITLES: Final = {
    DIRECT: "upstream, directly",
    NGINX: "nginx as reverse proxy",
    PROVIDER_ROUTE: "provider route",
    MODEL_ROUTE: "model route",
    OPENAI_ROUTE: "OpenAI route",
}

# What openai-python 3.54.0 sends with a chat completion, name by name and in its order. Host comes first and is
# written from the URL; with it there are 17 lines.
SDK_HEADERS: Final = (
    ("Accept-Encoding", "gzip, deflate"),
    ("Connection", "keep-alive"),
    ("authorization", "Bearer client"),
    ("accept", "application/json"),
    ("content-type", "application/json"),
    ("user-agent", "OpenAI/Python 3.54.0"),
    ("x-stainless-lang", "python"),
    ("x-stainless-package-version", "3.54.0"),
    ("x-stainless-os", "Linux"),
    ("x-stainless-arch", "x64"),
    ("x-stainless-runtime", "CPython"),
    ("x-stainless-runtime-version", "3.11.7"),
    ("x-stainless-async", "false"),
    ("x-stainless-retry-count", "0"),
    ("x-stainless-read-timeout", "600"),
)
FEW_HEADERS: Final = (("authorization", "Bearer client"), ("content-type", "application/json"))
"""With Content-Length, which every request ends with, three."""


def chat_request(size: int) -> bytes:
    """Return a chat completion request of about `size` bytes, compact as the SDK writes it."""
    body = {
        "messages": [{"role": "user", "content": "Hello, how are you doing today?"}],
        "model": MODEL,
        "max_tokens": 100,
    }
    padding = max(0, size - len(json.dumps(body, separators=(",", ":"))))
    body["messages"] = [{"role": "user", "content": "Hello, how are you doing today?" + "?" * padding}]
    return json.dumps(body, separators=(",", ":")).encode()


def chat_reply(size: int) -> bytes:
    """Return a chat completion of exactly `size` bytes (at least 270)."""
    reply = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    }
    padding = size - len(json.dumps(reply))
    message = {"role": "assistant", "content": "!" * padding}
    reply["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return json.dumps(reply).encode()


SMALL_REQUEST: Final = chat_request(0)
LARGE_REQUEST: Final = chat_request(10_000)
REPLIES: Final = {"0.3 KB": chat_reply(300), "10 KB": chat_reply(10_000), "1 MB": chat_reply(1_000_000)}
LISTING: Final = json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}).encode()


@dataclass(frozen=True)
class Case:
    """One load; every target is measured under it."""

    connections: int
    reply: str = "0.3 KB"
    few_headers: bool = False
    large_request: bool = False
    main: bool = False
    """Whether targets are judged by it: measured longer."""

    @property
    def name(self) -> str:
        """What the tables and the JSON call it."""
        headers = "3 headers" if self.few_headers else "16 headers"
        body = "10 KB up" if self.large_request else "0.1 KB up"
        connections = "1 connection" if self.connections == 1 else f"{self.connections} connections"
        return f"{connections}, {headers}, {body}, {self.reply} down"

    @property
    def tail(self) -> str:
        """What follows the route: the upstream picks its reply by it."""
        return TAIL if self.reply == "0.3 KB" else f"{TAIL}/{self.reply.replace(' ', '')}"

    @property
    def body(self) -> bytes:
        """The request's body."""
        return LARGE_REQUEST if self.large_request else SMALL_REQUEST

    def request(self, host: str, path: str, headers: Sequence[tuple[str, str]] = ()) -> bytes:
        """Return the whole request as it goes over the wire; `headers` replace or follow the usual ones."""
        usual = dict(FEW_HEADERS if self.few_headers else SDK_HEADERS)
        lines = [f"POST {path} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in (usual | dict(headers)).items()]
        lines += [f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode() + self.body


ONE: Final = Case(1, main=True)
MAIN: Final = Case(32, main=True)
QUICK_CASES: Final = (MAIN, ONE)
ALL_CASES: Final = (
    MAIN,
    ONE,
    Case(256, main=True),
    Case(32, few_headers=True),
    Case(32, large_request=True),
    *(Case(connections, reply=reply) for reply in ("10 KB", "1 MB") for connections in (1, 32, 256)),
)

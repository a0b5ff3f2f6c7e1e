import threading
from collections.abc import Callable
from typing import Any

import pytest

from modelport import ConnectionFailedError, EventStream, FailedDependencyError, Modelport, StreamError
from modelport_testing.scripted import Reply, Script, error

BASE = "/apis/inference-gateway/v2/workspaces/default"
CHAT = f"{BASE}/provider/openai/-/v1/chat/completions"
SSE = {"content-type": "text/event-stream"}
BODY = {"model": "gpt-4", "messages": [{"role": "user", "content": "Hello!"}]}


@pytest.mark.parametrize("http_method", ["get", "post", "put", "patch", "delete"])
def test_every_route_and_method(script: Script, client: Modelport, http_method: str) -> None:
    gateway = client.inference.gateway
    calls: dict[str, Callable[[], Any]] = {
        "provider/p1/-/v1/x": lambda: getattr(gateway.provider, http_method)("v1/x", name="p1"),
        "model/m1/-/v1/x": lambda: getattr(gateway.model, http_method)("v1/x", name="m1"),
        "openai/-/v1/x": lambda: getattr(gateway.openai, http_method)("v1/x"),
    }
    for path, send in calls.items():
        script.on(http_method.upper(), f"{BASE}/{path}", Reply(json={"path": path}))
        assert send() == {"path": path}


def test_a_body_is_sent_as_json_with_plain_slashes(script: Script, client: Modelport) -> None:
    script.on("POST", CHAT, Reply(json={"choices": []}))
    client.inference.gateway.provider.post(
        "v1/chat/completions?a=b", name="openai", body=BODY, headers={"X-Trace": "1"}
    )
    asked = script.requests[0]
    assert asked.target == f"{CHAT}?a=b"
    assert asked.json == BODY
    assert asked.headers["x-trace"] == "1"


def test_bytes_are_sent_as_they_are(script: Script, client: Modelport) -> None:
    script.on("POST", CHAT, Reply(json={}))
    client.inference.gateway.provider.post(
        "v1/chat/completions", name="openai", body=b"\x00\x01", headers={"Content-Type": "audio/wav"}
    )
    assert script.requests[0].body == b"\x00\x01"
    assert script.requests[0].headers["content-type"] == "audio/wav"


@pytest.mark.parametrize(
    ("kind", "body", "parsed"),
    [
        ("application/json; charset=utf-8", b'{"a":1}', {"a": 1}),
        ("application/problem+json", b"[]", []),
        ("application/json", b"broken", b"broken"),
        ("text/plain", b"text", "text"),
        ("audio/mpeg", b"\xff\x00", b"\xff\x00"),
        ("application/json", b"", None),
    ],
)
def test_replies_are_parsed_by_their_type(
    script: Script, client: Modelport, kind: str, body: bytes, parsed: object
) -> None:
    script.on("GET", f"{BASE}/model/m1/-/x", Reply(body=body, headers={"content-type": kind}))
    assert client.inference.gateway.model.get("x", name="m1") == parsed


def test_the_raw_reply(script: Script, client: Modelport) -> None:
    script.on("GET", f"{BASE}/openai/-/v1/models", Reply(body=b'{"a" : 1}', headers={"x-ratelimit": "5"}))
    reply = client.inference.gateway.openai.get("v1/models", raw=True)
    assert (reply.content, reply.headers["x-ratelimit"]) == (b'{"a" : 1}', "5")


def test_errors_of_the_provider_come_through(script: Script, client: Modelport) -> None:
    script.on("POST", CHAT, Reply(424, json=error(424, "secret_missing", "no secret openai-api-key")))
    with pytest.raises(FailedDependencyError, match="no secret openai-api-key"):
        client.inference.gateway.provider.post("v1/chat/completions", name="openai", body=BODY)
    with pytest.raises(FailedDependencyError, match="no secret openai-api-key"):
        client.inference.gateway.provider.post("v1/chat/completions", name="openai", body=BODY, stream=True)


def test_events_come_as_they_are_sent(script: Script, client: Modelport) -> None:
    go_on = threading.Event()
    parts: list[bytes | threading.Event] = [
        b'data: {"n": 1}\n\n',
        go_on,
        b'data: {"n": 2}\r\n\r',
        b"\ndata: [DONE]\n\n",
    ]
    script.on("POST", CHAT, Reply(headers=SSE, parts=parts))
    events = client.inference.gateway.provider.post("v1/chat/completions", name="openai", body=BODY, stream=True)
    assert isinstance(events, EventStream)
    with events:
        assert next(events).json() == {"n": 1}
        go_on.set()
        assert [event.json() for event in events] == [{"n": 2}]
    assert script.requests[0].json == {"stream": True, **BODY}


def test_a_provider_that_does_not_stream(script: Script, client: Modelport) -> None:
    script.on("POST", CHAT, Reply(json={"choices": []}))
    events = client.inference.gateway.provider.post("v1/chat/completions", name="openai", body=BODY, stream=True)
    assert [event.json() for event in events] == [{"choices": []}]


def test_an_error_within_a_stream(script: Script, client: Modelport) -> None:
    parts = [b"data: {}\n\n", b'event: error\ndata: {"error": {"message": "provider cut"}}\n\n']
    script.on("POST", CHAT, Reply(headers=SSE, parts=parts, cut=True))
    events = client.inference.gateway.provider.post("v1/chat/completions", name="openai", body=BODY, stream=True)
    assert next(events).json() == {}
    with pytest.raises(StreamError, match="provider cut") as caught:
        next(events)
    assert caught.value.body == {"error": {"message": "provider cut"}}


def test_a_stream_that_is_cut_is_never_a_clean_end(script: Script, client: Modelport) -> None:
    script.on("POST", CHAT, Reply(headers=SSE, parts=[b"data: {}\n\n"], cut=True))
    events = client.inference.gateway.provider.post("v1/chat/completions", name="openai", body=BODY, stream=True)
    with pytest.raises(ConnectionFailedError, match="cut off"):
        list(events)


def test_leaving_a_stream_frees_its_connection(script: Script, client: Modelport) -> None:
    go_on = threading.Event()
    script.on("POST", CHAT, Reply(headers=SSE, parts=[b"data: {}\n\n", go_on]))
    events = client.inference.gateway.provider.post("v1/chat/completions", name="openai", body=BODY, stream=True)
    next(events)
    events.close()
    go_on.set()
    assert events.response.is_closed
    assert list(events) == []


def test_ready(script: Script, client: Modelport) -> None:
    path = f"{BASE}/provider/openai/ready"
    script.on("GET", path, Reply(json={"ready": True, "provider": "default/openai", "host_url": "http://x"}))
    assert client.inference.gateway.provider.ready("openai", revision=7).provider == "default/openai"
    assert script.requests[0].query == {"revision": ["7"]}


def test_waiting_for_every_gateway(script: Script, client: Modelport) -> None:
    path = f"{BASE}/applied/secret/key"
    script.on("GET", path, Reply(json={"state": "absent", "revision": "secrets.8"}))
    found = client.inference.gateway.applied("secret", "key", revision="secrets.7", wait=30)
    assert (found.state, found.revision) == ("absent", "secrets.8")
    assert script.requests[0].query == {"revision": ["secrets.7"], "wait": ["30"]}

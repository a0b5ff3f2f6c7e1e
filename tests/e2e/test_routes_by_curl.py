"""All three routes with curl: what comes after /-/ reaches the provider as it was sent, its answer comes back whole."""

import json
from typing import Any

import pytest

from modelport import Modelport
from modelport_testing.journeys import GATEWAY, register
from modelport_testing.providers import Style
from modelport_testing.terminal import Terminal
from modelport_testing.upstreams import Upstream

# Odd spacing, an escaped key, a number that no double holds and a repeated member: all must survive.
ODD_BODY = (
    '{ "model" :"gpt-4",\n "messages":[{"role":"user","content":"H\\u0065llo"}], "n\\u0061me": 1,'
    ' "seed":12345678901234567890123, "x":1.00, "x":2 }'
)


class Curl:
    """curl in a terminal, against the inference routes of one workspace."""

    def __init__(self, terminal: Terminal, base_url: str, workspace: str) -> None:
        self._terminal = terminal
        self._route = f"{base_url}{GATEWAY}/{workspace}"

    def __call__(self, path: str, *options: str) -> str:
        """Return the body."""
        # --path-as-is: curl would resolve dot segments itself.
        return self._terminal.run("curl", "-sS", "--path-as-is", *options, f"{self._route}/{path}").ok()

    def post(self, path: str, body: str, *options: str) -> str:
        return self(path, "-H", "content-type: application/json", "--data-binary", body, *options)

    def status(self, path: str, *options: str) -> int:
        return int(self(path, "-o", "/dev/null", "-w", "%{http_code}", *options))


@pytest.fixture
def curl(terminal: Terminal, base_url: str, workspace: str) -> Curl:
    return Curl(terminal, base_url, workspace)


def said(reply: str) -> str:
    return str(json.loads(reply)["choices"][0]["message"]["content"])


def test_the_provider_route_forwards_bytes_unchanged(curl: Curl, client: Modelport, openai_upstream: Upstream) -> None:
    register(client, openai_upstream)
    assert said(curl.post("provider/openai/-/v1/chat/completions", ODD_BODY)) == "You said: Hello"
    (request,) = openai_upstream.requests_to("/v1/chat/completions")
    assert request.body == ODD_BODY.encode()
    assert request.header("authorization") == f"Bearer {openai_upstream.key}"


@pytest.mark.parametrize(("route", "sent_model"), [("model/gpt-4", "whatever"), ("openai", "{workspace}/gpt-4")])
def test_the_model_routes_change_nothing_but_the_model(
    route: str, sent_model: str, curl: Curl, client: Modelport, openai_upstream: Upstream, workspace: str
) -> None:
    register(client, openai_upstream)
    # Duplicates are for the provider route alone.
    body = ODD_BODY.replace('"gpt-4"', json.dumps(sent_model.format(workspace=workspace))).replace(', "x":2', "")
    assert said(curl.post(f"{route}/-/v1/chat/completions", body)) == "You said: Hello"
    (request,) = openai_upstream.requests_to("/v1/chat/completions")
    assert request.body == ODD_BODY.replace(', "x":2', "").encode()


@pytest.mark.parametrize("route", ["provider/openai", "model/gpt-4", "openai"])
def test_a_stream_comes_back_as_the_provider_sent_it(
    route: str, curl: Curl, client: Modelport, openai_upstream: Upstream, terminal: Terminal
) -> None:
    register(client, openai_upstream)
    body = '{"model":"gpt-4","messages":[{"role":"user","content":"Grüße 👋"}],"stream":true}'
    through = curl.post(f"{route}/-/v1/chat/completions", body)
    key = ["-H", f"authorization: Bearer {openai_upstream.key}"]
    direct = terminal.run(
        "curl", "-sS", *key, "--data-binary", body, f"{openai_upstream.host_url}/chat/completions"
    ).ok()
    assert through == direct
    assert through.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("tail", ["v1/echo", "/v1/echo", "v1%2Fecho", "echo"])
def test_slashes_may_be_encoded_as_the_published_client_does(
    tail: str, curl: Curl, client: Modelport, openai_upstream: Upstream
) -> None:
    register(client, openai_upstream)
    assert json.loads(curl(f"provider/openai/-/{tail}")) == {"target": "/v1/echo"}


def test_queries_pass_as_sent(curl: Curl, client: Modelport, openai_upstream: Upstream) -> None:
    register(client, openai_upstream)
    plain = "v1/echo?b=2&a=1&a=%2F&empty=&c"
    assert json.loads(curl(f"provider/openai/-/{plain}")) == {"target": f"/{plain}"}
    # The published client sends a query within its one parameter.
    assert json.loads(curl("provider/openai/-/v1%2Fecho%3Fa=1?b=2")) == {"target": "/v1/echo?a=1&b=2"}
    # Only where the tail is one parameter: what has slashes of its own goes out byte for byte.
    assert curl.status("provider/openai/-/v1/echo%2Fa%252Fb?c%2Fd") == 404
    assert openai_upstream.requests[-1].target == b"/v1/echo%2Fa%252Fb?c%2Fd"
    assert curl.status("provider/openai/-/v1/../secret") == 400


def test_the_listing_is_found_however_it_is_written(curl: Curl) -> None:
    for path in ("openai/-/v1/models", "openai/-/v1%2Fmodels"):
        assert json.loads(curl(path)) == {"object": "list", "data": []}


@pytest.mark.parametrize("separator", ["/", "%2F"])
def test_one_model_is_found_with_and_without_its_workspace(
    separator: str, curl: Curl, client: Modelport, openai_upstream: Upstream, workspace: str
) -> None:
    register(client, openai_upstream, enabled_models=["gpt-4"])
    expected: dict[str, Any] = {"id": f"{workspace}/gpt-4", "object": "model", "owned_by": workspace}
    listed = json.loads(curl("openai/-/v1/models"))
    (only,) = listed["data"]
    assert {name: only[name] for name in expected} == expected
    for name in ("gpt-4", f"{workspace}{separator}gpt-4"):
        assert json.loads(curl(f"openai/-/v1/models/{name}")) == only
    assert curl.status(f"openai/-/v1/models/{workspace}{separator}gpt-5") == 404


def test_an_upstream_error_comes_back_whole(curl: Curl, client: Modelport, upstreams: dict[Style, Upstream]) -> None:
    upstream = upstreams[Style.ANTHROPIC]
    register(client, upstream)
    upstream.faults.status = 529
    reply = curl.post("provider/anthropic/-/v1/messages", "{}", "-i").replace("\r\n", "\n")
    head, _, body = reply.partition("\n\n")
    assert head.startswith("HTTP/1.1 529")
    assert "x-modelport-error-origin: upstream" in head.lower()
    assert json.loads(body) == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "simulated failure"},
        "request_id": "req_simulated",
    }
    upstream.faults.status = 429
    assert "retry-after: 1" in curl.post("provider/anthropic/-/v1/messages", "{}", "-i").lower()


def test_methods_and_an_upload_pass(
    curl: Curl, client: Modelport, openai_upstream: Upstream, terminal: Terminal
) -> None:
    register(client, openai_upstream)
    upload = terminal.folder / "audio.bin"
    upload.write_bytes(bytes(range(256)) * 4096)
    curl("provider/openai/-/v1/audio/transcriptions", "-F", f"file=@{upload}", "-F", "model=whisper-1")
    (request,) = openai_upstream.requests_to("/v1/audio/transcriptions")
    assert upload.read_bytes() in request.body
    assert (request.header("content-type") or "").startswith("multipart/form-data; boundary=")
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
        curl(f"provider/openai/-/v1/files/{method}", "-X", method)
        assert [one.method for one in openai_upstream.requests_to(f"/v1/files/{method}")] == [method]

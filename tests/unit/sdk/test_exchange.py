"""Retries, errors and headers over real sockets."""

import logging
import socket
import threading
import time
import traceback

import httpx
import pytest

from modelport import (
    AuthenticationError,
    BadRequestError,
    ConfigError,
    ConflictError,
    ConnectionFailedError,
    FailedDependencyError,
    InvalidReplyError,
    Modelport,
    ModelportError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimedOutError,
    ServerError,
    StatusError,
    UnprocessableError,
)
from modelport_testing.scripted import Reply, Script, error, secret

SECRETS = "/apis/secrets/v2/workspaces/default/secrets"
ONE = f"{SECRETS}/k"
NOW = {"retry-after": "0"}
GATEWAYS = {"x-modelport-error-origin": "gateway"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, ConflictError),
        (422, UnprocessableError),
        (424, FailedDependencyError),
        (429, RateLimitError),
        (500, ServerError),
        (503, ServerError),
        (418, StatusError),
    ],
)
def test_errors_are_typed(script: Script, status: int, kind: type[StatusError]) -> None:
    body = error(status, "some_code", "what was wrong")
    script.on("GET", ONE, Reply(status, json=body, headers={**GATEWAYS, "x-modelport-request-id": "r-1"}))
    with Modelport(script.url, max_retries=0) as client, pytest.raises(kind) as caught:
        client.secrets.retrieve("k")
    assert type(caught.value) is kind
    assert caught.value.status_code == status
    assert caught.value.body == body
    assert caught.value.code == "some_code"
    assert caught.value.request_id == "r-1"
    assert caught.value.origin == "gateway"
    assert str(caught.value) == f"what was wrong (HTTP {status})"


def test_validation_errors_name_each_field(script: Script, client: Modelport) -> None:
    detail = [
        {"type": "missing", "loc": ["body", "host_url"], "msg": "Field required"},
        {"type": "value_error", "loc": ["body", "name"], "msg": "Value error, not a valid name"},
        {"type": "value_error", "loc": ["body", "options"], "msg": "Value error, options must be small"},
    ]
    script.on("GET", ONE, Reply(422, json=error(422, "invalid", "2 errors", detail)))
    with pytest.raises(
        UnprocessableError, match="host_url: Field required; name: not a valid name; options must be small"
    ):
        client.secrets.retrieve("k")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "Incorrect API key"}}, "Incorrect API key"),
        ({"type": "error", "error": {"type": "x", "message": "bad"}}, "bad"),
        ({"error": "plain"}, "plain"),
        ({"detail": "text"}, "text"),
        ({"message": "m"}, "m"),
        ({}, "HTTP status 400 Bad Request"),
    ],
)
def test_errors_of_any_dialect(script: Script, client: Modelport, body: object, message: str) -> None:
    script.on("GET", ONE, Reply(400, json=body))
    with pytest.raises(BadRequestError) as caught:
        client.secrets.retrieve("k")
    assert caught.value.message == message


def test_an_error_page_is_not_quoted(script: Script, client: Modelport) -> None:
    script.on("GET", ONE, Reply(403, body=b"<html>no</html>", headers={"content-type": "text/html"}))
    with pytest.raises(PermissionDeniedError, match=r"HTTP status 403 Forbidden"):
        client.secrets.retrieve("k")


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"", b'{"unexpected": true}', b"[1]"])
def test_a_reply_that_is_not_the_platforms(script: Script, client: Modelport, body: bytes) -> None:
    script.on("GET", ONE, Reply(body=body, headers={"content-type": "text/html"}))
    with pytest.raises(InvalidReplyError, match="Is this the platform's address"):
        client.secrets.retrieve("k")


def test_a_redirect_is_not_followed(script: Script, client: Modelport) -> None:
    script.on("GET", ONE, Reply(302, headers={"location": f"{script.url}/elsewhere"}))
    with pytest.raises(StatusError) as caught:
        client.secrets.retrieve("k")
    assert caught.value.status_code == 302
    assert len(script.requests) == 1


def test_passing_failures_are_retried(script: Script, client: Modelport) -> None:
    script.on("GET", ONE, Reply(502, headers=NOW), Reply(429, headers=NOW), Reply(json=secret("k")))
    assert client.secrets.retrieve("k").name == "k"
    assert len(script.requests) == 3


def test_retries_end(script: Script, client: Modelport) -> None:
    script.on("GET", ONE, Reply(503, json=error(503, "starting", "not yet"), headers=NOW))
    with pytest.raises(ServerError, match="not yet"):
        client.secrets.retrieve("k")
    assert len(script.requests) == 3


def test_a_post_that_may_have_been_carried_out_is_not_repeated(script: Script, client: Modelport) -> None:
    script.on("POST", SECRETS, Reply(500, headers=NOW))
    with pytest.raises(ServerError):
        client.secrets.create(name="k", value="v")
    assert len(script.requests) == 1


def test_a_post_that_was_refused_is_repeated(script: Script, client: Modelport) -> None:
    script.on("POST", SECRETS, Reply(503, headers=NOW), Reply(201, json=secret("k")))
    client.secrets.create(name="k", value="v")
    assert [one.json for one in script.requests] == [{"name": "k", "value": "v"}] * 2


def test_the_server_may_forbid_a_retry(script: Script, client: Modelport) -> None:
    script.on("POST", SECRETS, Reply(409, headers={"x-should-retry": "false", **NOW}))
    with pytest.raises(ConflictError):
        client.secrets.create(name="k", value="v")
    assert len(script.requests) == 1


def test_retry_after_is_waited_for(script: Script, client: Modelport) -> None:
    script.on("GET", ONE, Reply(429, headers={"retry-after": "1"}), Reply(json=secret("k")))
    began = time.monotonic()
    client.secrets.retrieve("k")
    assert time.monotonic() - began >= 1


def test_a_long_retry_after_is_left_to_the_caller(script: Script, client: Modelport) -> None:
    script.on("GET", ONE, Reply(429, headers={"retry-after": "3600"}))
    with pytest.raises(RateLimitError) as caught:
        client.secrets.retrieve("k")
    assert caught.value.response.headers["retry-after"] == "3600"


def test_a_platform_that_is_away() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with Modelport(url, max_retries=1) as client, pytest.raises(ConnectionFailedError) as caught:
        client.secrets.create(name="k", value="s3cret")
    assert url in caught.value.message
    assert "nemo services run" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_platform_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Modelport(url, timeout=0.1) as client, pytest.raises(RequestTimedOutError):
            client.secrets.retrieve("k")


def test_a_reply_that_is_cut(script: Script, client: Modelport) -> None:
    script.on("GET", ONE, Reply(body=b"{}", cut=True), Reply(json=secret("k")))
    assert client.secrets.retrieve("k").name == "k"
    script.on("POST", SECRETS, Reply(body=b"{}", cut=True))
    with pytest.raises(ConnectionFailedError, match="broke"):
        client.secrets.create(name="k", value="v")


def test_headers(script: Script) -> None:
    script.on("GET", ONE, Reply(json=secret("k")))
    with Modelport(f"{script.url}/", api_key="t0ken") as client:
        client.secrets.retrieve("k")
    headers = script.requests[0].headers
    assert headers["authorization"] == "Bearer t0ken"
    assert headers["user-agent"].startswith("modelport/")
    assert "content-type" not in headers


def test_an_address_with_a_prefix(script: Script) -> None:
    script.on("GET", f"/prefix{ONE}", Reply(json=secret("k")))
    with Modelport(f"{script.url}/prefix/") as client:
        assert client.base_url == f"{script.url}/prefix"
        client.secrets.retrieve("k")


def test_a_proxy_is_not_asked_for_this_machine(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    script.on("GET", ONE, Reply(json=secret("k")))
    with Modelport(script.url, max_retries=0) as client:
        client.secrets.retrieve("k")


def test_no_secret_in_logs_or_reprs(script: Script, client: Modelport, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    script.on("POST", SECRETS, Reply(500))
    with pytest.raises(ServerError) as caught:
        client.secrets.create(name="k", value="s3cret")
    assert "POST /apis/secrets/v2/workspaces/default/secrets: 500" in caplog.text
    assert "s3cret" not in caplog.text + repr(caught.value) + str(caught.value) + repr(client)


def test_any_request(script: Script, client: Modelport) -> None:
    script.on("POST", "/x", Reply(json={"a": 1}, headers={"x-y": "z"}))
    reply = client.request("post", "/x?q=1", body=b"{}", headers={"Content-Type": "text/x"})
    assert (reply.json(), reply.headers["x-y"]) == ({"a": 1}, "z")
    assert script.requests[0].target == "/x?q=1"
    assert script.requests[0].headers["content-type"] == "text/x"
    with pytest.raises(ValueError, match="slash"):
        client.request("GET", "x")


def test_an_http_client_of_ones_own_stays_open(script: Script) -> None:
    script.on("GET", ONE, Reply(json=secret("k")))
    with httpx.Client(headers={"x-own": "1"}) as http:
        with Modelport(script.url, http_client=http) as client:
            client.secrets.retrieve("k")
        assert not http.is_closed
    assert script.requests[0].headers["x-own"] == "1"


def test_several_threads_share_a_client(script: Script, client: Modelport) -> None:
    script.on("GET", ONE, Reply(json=secret("k")))
    threads = [threading.Thread(target=client.secrets.retrieve, args=("k",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(script.requests) == 8


def test_the_environment(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMP_BASE_URL", script.url)
    monkeypatch.setenv("NMP_WORKSPACE", "team")
    monkeypatch.setenv("NMP_ACCESS_TOKEN", "t")
    with Modelport() as client:
        assert repr(client) == f"<Modelport {script.url} workspace=team>"
    with pytest.raises(ConfigError):
        Modelport("nonsense")


def test_all_errors_have_one_base() -> None:
    assert issubclass(ConfigError, ModelportError)
    assert issubclass(RequestTimedOutError, ConnectionFailedError)
    assert issubclass(NotFoundError, StatusError)


def test_a_header_that_cannot_be_sent_is_not_repeated(script: Script) -> None:
    headers = {"authorization": "Bearer SECRETTOK\nEN"}
    with Modelport(script.url) as client, pytest.raises(ConnectionFailedError, match="cannot be sent") as caught:
        client.request("GET", "/status", headers=headers)
    assert "SECRETTOK" not in "".join(traceback.format_exception(caught.value))
    assert not script.requests


@pytest.mark.parametrize("token", ["SECRETTOK\r\nEN", " ", "SECRETT\u00f6K"])
def test_a_client_refuses_a_token_that_cannot_be(script: Script, token: str) -> None:
    with pytest.raises(ConfigError, match=r"the token .* \(it is from api_key\)") as caught:
        Modelport(script.url, api_key=token)
    assert "SECRET" not in str(caught.value)

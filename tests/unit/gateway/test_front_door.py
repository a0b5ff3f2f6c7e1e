"""What the front door lets through to the services."""

import pytest

from modelport_gateway.front_door.forward import forwarded_headers, has_dot_segments, returned_headers


@pytest.mark.parametrize(
    "path", ["/apis/models/../x", "/apis/models/./x", "/apis/models/..", "/apis/models/..;a/x", "/apis/models/..\\x"]
)
def test_dot_segments_are_seen(path: str) -> None:
    assert has_dot_segments(path)


@pytest.mark.parametrize("path", ["/apis/models/v2/models/gpt-4..1", "/apis/models/...", "/apis/models//x"])
def test_dots_within_names_are_not(path: str) -> None:
    assert not has_dot_segments(path)


def test_a_client_cannot_speak_as_modelport() -> None:
    sent = [
        ("X-Modelport-Service-Token", "t"),
        ("x-nmp-principal", "admin"),
        ("Authorization", "Bearer mine"),
        ("Cookie", "a=b"),
        ("Connection", "close, X-Private"),
        ("x-private", "1"),
        ("content-type", "application/json"),
    ]
    assert forwarded_headers(sent) == [("content-type", "application/json")]


def test_replies_keep_what_clients_need() -> None:
    sent = [("server", "uvicorn"), ("x-modelport-revision", "models.3"), ("transfer-encoding", "chunked")]
    assert returned_headers(sent) == [("x-modelport-revision", "models.3")]

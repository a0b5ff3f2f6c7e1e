"""Where a provider may be, and which headers its configuration may set (docs/wire.md, 2 and 3.3)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport_contracts.headers import CREDENTIALS, HOP_BY_HOP, check_extra_headers
from modelport_contracts.urls import check_host_url


@pytest.mark.parametrize(
    "text",
    [
        "https://api.openai.com/v1",
        "http://localhost:8000",
        "HTTPS://Example.COM/",
        "https://example.com:443/a/b.c/",
        "http://127.0.0.1:1",
        "http://[::1]:8080/v1",
        "http://[2001:db8::1]",
        "https://a_b.example/v1",
        "https://host/with%20space",
        "http://host:",
        "http://host./v1",
    ],
)
def test_accepted_addresses(text: str) -> None:
    assert check_host_url(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "/v1",
        "//example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "unix:/run/x",
        "http://",
        "http:///v1",
        "http://:80",
        "https://user@host",
        "https://user:password@host/v1",
        "https://host/#part",
        "https://host/#",
        "https://host/?a=b",
        "https://host/?",
        "https://host/a b",
        "https://host/\n",
        "https://host\\@evil",
        "https://ho\tst",
        "https://höst",
        "https://host/ä",
        "https://host:0",
        "https://host:65536",
        "https://host:port",
        "https://host:-1",
        "https://[::1",
        "https://[nonsense]/",
        "https://::1/",
        "https://-host/",
        "https://a b/",
        "https://host/../x",
        "https://host/./x",
        "https://host/..",
        "https://{host}/",
    ],
)
def test_refused_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="host_url"):
        check_host_url(text)


@pytest.mark.parametrize(
    "text", ["https://me:hunter2@host", "https://me:hunter2/x@host/", "https://[hunter2]/", "https://host:hunter2/"]
)
def test_a_password_in_an_address_is_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="host_url") as caught:
        check_host_url(text)
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=80))
def test_any_text_is_judged(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert check_host_url(text) == text


@pytest.mark.parametrize("name", sorted(CREDENTIALS))
def test_credentials_are_sent_to_auth_header_format(name: str) -> None:
    for spelling in (name, name.upper()):
        (problem,) = check_extra_headers("default_extra_headers", {spelling: "x"})
        assert problem.startswith(f"default_extra_headers: {spelling} ")
        assert "auth_header_format" in problem


@pytest.mark.parametrize("name", sorted((HOP_BY_HOP | {"host", "content-length", "x-modelport-a"}) - CREDENTIALS))
def test_the_gateways_own_headers_are_refused(name: str) -> None:
    (problem,) = check_extra_headers("required_extra_headers", {name.title(): "x"})
    assert "set by the gateway itself" in problem


@pytest.mark.parametrize(
    "headers", [{}, {"anthropic-version": "2023-06-01"}, {"X-A": "a\tb"}, {"X-A": "grün", "X-B": ""}]
)
def test_allowed_headers(headers: dict[str, str]) -> None:
    assert check_extra_headers("default_extra_headers", headers) == []


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"": "x"}, "not a header name"),
        ({"a b": "x"}, "not a header name"),
        ({"a:": "x"}, "not a header name"),
        ({"ä": "x"}, "not a header name"),
        ({"X-A": "x", "x-a": "y"}, "given twice"),
        ({"X-A": "a\r\nb: c"}, "characters no header can carry"),
        ({"X-A": "a\0"}, "characters no header can carry"),
        ({"X-A": " a"}, "characters no header can carry"),
        ({"X-A": "模"}, "characters no header can carry"),
    ],
)
def test_refused_headers(headers: dict[str, str], words: str) -> None:
    (problem,) = check_extra_headers("default_extra_headers", headers)
    assert words in problem


def test_a_whole_header_line_given_as_a_name_is_not_quoted() -> None:
    (problem,) = check_extra_headers("default_extra_headers", {"X-Key: hunter2": "x"})
    assert "hunter2" not in problem


def test_every_problem_is_told() -> None:
    assert len(check_extra_headers("default_extra_headers", {"Host": "x", "Cookie": "y", "fine": "z", "a b": ""})) == 3

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
        "http://0x7f.example",
        "http://1.2.3.4.example",
        "http://xn--bcher-kva.example",
        "http://[::ffff:127.0.0.1]",
        "http://3com",
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
        "http://2130706433/",
        "http://0x7f000001",
        "http://0x7f.1:80",
        "http://0x",
        "http://127.1",
        "http://127.0.1",
        "http://0177.0.0.1",
        "http://127.0.0.01",
        "http://127.0.0.0x1",
        "http://127.0.0.1.",
        "http://127.0.0.256",
        "http://1.2.3.4.5",
        "http://example.1",
        "http://\uff11\uff12\uff17.0.0.1",
        "http://\u2460",
        "http://127\u30020\u30020\u30021",
        "http://%31%32%37.0.0.1",
        "http://localhos%74",
        "http://[fe80::1%25eth0]",
        "http://[fe80::1%eth0]",
        "http://[::1%25]",
        "http://[1.2.3.4]",
        "http://[::1]evil",
        "http://[::1].evil",
        "http://[v1.x]",
        "http://a..b",
        "http://.a",
        "http://host../v1",
        "http://" + "a" * 64,
        "http://127.0.0.1@evil",
        "http://evil%40127.0.0.1",
        "http://a,b",
        "http://a;b",
        "http://a'b",
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

"""The grammar of auth_header_format (docs/wire.md, 3.5)."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport_contracts.auth_header import (
    DEFAULT_AUTH_HEADER_FORMAT,
    AuthHeader,
    UnusableSecretError,
    parse_auth_header,
)


@pytest.mark.parametrize(
    ("text", "header"),
    [
        (DEFAULT_AUTH_HEADER_FORMAT, AuthHeader("Authorization", "Bearer ", "")),
        ("X-Api-Key: {{ auth_secret }}", AuthHeader("X-Api-Key", "", "")),
        ("X-Api-Key: {{auth_secret}}", AuthHeader("X-Api-Key", "", "")),
        ("X-Api-Key: {{   auth_secret }}", AuthHeader("X-Api-Key", "", "")),
        ('Authorization: Token token="{{ auth_secret }}"', AuthHeader("Authorization", 'Token token="', '"')),
        ("cookie: session={{ auth_secret }}; a=b", AuthHeader("cookie", "session=", "; a=b")),
        ("x: a:b {{ auth_secret }}", AuthHeader("x", "a:b ", "")),
    ],
)
def test_accepted(text: str, header: AuthHeader) -> None:
    assert parse_auth_header(text) == header


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Authorization",
        "{{ auth_secret }}",
        ": {{ auth_secret }}",
        "Authorization: Bearer",
        "Authorization: Bearer {{ secret }}",
        "Authorization: Bearer { auth_secret }",
        "Authorization: Bearer {{ auth_secret }",
        "Authorization: {{ auth_secret }} {{ auth_secret }}",
        "Authorization: {{ auth_secret | upper }}",
        "Authorization: {% if 1 %}{{ auth_secret }}{% endif %}",
        "Authorization: {{ auth_secret }}}",
        "Authorization: {{{ auth_secret }}}",
        "Authorization:{{ auth_secret }}",
        "Authorization:  {{ auth_secret }}",
        "Author ization: {{ auth_secret }}",
        "Authorization : {{ auth_secret }}",
        "Authorization: {{ auth_secret }}\r\nX-Other: 1",
        "Authorization: {{\tauth_secret }}",
        "Authorization: \x00{{ auth_secret }}",
        "Authorization: Bärer {{ auth_secret }}",
        "Ä: {{ auth_secret }}",
        "Host: {{ auth_secret }}",
        "content-length: {{ auth_secret }}",
        "Transfer-Encoding: {{ auth_secret }}",
        "Connection: {{ auth_secret }}",
        "x-modelport-service-token: {{ auth_secret }}",
    ],
)
def test_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="auth_header_format must look like"):
        parse_auth_header(text)


_TOKENS = st.text(alphabet=string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~", min_size=1, max_size=20).map(
    lambda name: "K" + name
)
_TEXTS = st.text(alphabet="".join(chr(code) for code in range(32, 127) if chr(code) not in "{}"), max_size=20)


@given(_TOKENS, _TEXTS, _TEXTS, st.integers(0, 3), _TEXTS)
def test_what_was_put_together_comes_apart(name: str, prefix: str, suffix: str, spaces: int, secret: str) -> None:
    prefix = prefix.lstrip(" ")
    text = f"{name}: {prefix}{{{{{' ' * spaces}auth_secret{' ' * spaces}}}}}{suffix}"
    parsed = parse_auth_header(text)
    assert (parsed.name, parsed.prefix, parsed.suffix) == (name, prefix, suffix)
    assert parsed.value(secret) == prefix + secret + suffix


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused_and_never_more(text: str) -> None:
    try:
        parsed = parse_auth_header(text)
    except ValueError:
        return
    assert "\n" not in parsed.value("secret")
    assert parsed.name.isascii()


@pytest.mark.parametrize("secret", ["a\nb", "a\r", "\x00", "\x7f", "a\tb", "key\n"])
def test_a_secret_with_a_control_character_is_refused_and_not_quoted(secret: str) -> None:
    with pytest.raises(UnusableSecretError) as caught:
        parse_auth_header(DEFAULT_AUTH_HEADER_FORMAT).value(secret)
    assert "a" + secret not in str(caught.value)

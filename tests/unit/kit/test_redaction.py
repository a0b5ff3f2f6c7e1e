"""What is taken out of logs: secrets by the name of their field, by their shape, and those that are held in memory."""

import gc
import json
import time
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelport_kit.redaction import REDACTED, HeldValues, is_secret_name, redact, redact_event, redact_text

SECRET = "Zq7" + "xT2mKf9wPb4Lr8"
"""No shape that is known by itself."""
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow+Zq7xT2m\nKf9w/Pb4=\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"authorization:Token token={SECRET}",
        f"Proxy-Authorization: Basic {SECRET}",
        f"the upstream said: bearer {SECRET} is wrong",
        f"X-Api-Key: {SECRET}",
        f"x-goog-api-key: {SECRET}\r\nhost: there",
        f"Cookie: a={SECRET}; b=c",
        f'{{"api_key": "{SECRET}", "model": "m"}}',
        f"{{'password': '{SECRET}'}}",
        f'{{\\"client_secret\\": \\"{SECRET}\\"}}',
        f"Headers([('x-modelport-service-token', '{SECRET}')])",
        f"[(b'authorization', b'Basic {SECRET}')]",
        f"GET /v1/models?key={SECRET}&x=1",
        f"https://host/?api-version=1&sig={SECRET}",
        f"password={SECRET} host=there",
        f"token='with a blank {SECRET}'",
        f"cannot connect to postgresql+asyncpg://modelport:{SECRET}@db:5432/models",
        f"redis://:p@ss/{SECRET}@redis:6379/0 is away",
        f"nats://{SECRET}@nats:4222,nats://user:{SECRET}@other:4222",
        f"sk-{SECRET}",
        f"(sk-ant-api03-{SECRET})",
        f"sk-proj-{SECRET}",
        f"nvapi-{SECRET}",
        f"mp_{SECRET}",
        f"hf_{SECRET}",
        f"AIza{SECRET}{SECRET}",
        f"ghp_{SECRET}{SECRET}",
        f"hvs.{SECRET}{SECRET}",
        f"eyJhbGciOiJIUzI1NiJ9.eyJ{SECRET}.{SECRET}",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n{SECRET}",
        f"-----BEGIN EC PRIVATE KEY-----\\n{SECRET}\\n-----END EC PRIVATE KEY-----",
    ],
)
def test_secrets_are_known_by_shape_or_by_the_name_before_them(text: str) -> None:
    shown = redact_text(text)
    assert SECRET not in shown
    assert REDACTED in shown
    assert redact_text(shown) == shown


def test_a_cloud_key_and_a_private_key_whole() -> None:
    assert redact_text("id AKIAIOSFODNN7EXAMPLE.") == f"id {REDACTED}."
    assert redact_text(f"before {PEM} after") == f"before {REDACTED} after"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the bearer token is missing; check MODELPORT_SERVICE_TOKEN_FILE: it is empty",
        "secret default/openai-key does not exist; store it first, then name it as api_key_secret_name",
        "a secret's value must not be empty (token: 3, password: no)",
        "task-based risk-averse desk-bound",
        "http://127.0.0.1:8080/apis/models?page_size=10&sort=-name and http://host/models/name@1",
        "max_tokens=100 service_token_file=/run/token author=me keyboard=us",
        "basic authentication is not supported",
        'Traceback (most recent call last):\n  File "/x/sealing.py", line 3, in unseal\n    key = self.key_of(token)',
        "nvidia/llama-3.3-nemotron-super-49b-v1 on models-1",
        "revision secrets.18 of secret/default/openai-api-key",
    ],
)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("authorization", True),
        ("X-Api-Key", True),
        ("api_key", True),
        ("x-modelport-service-token", True),
        ("MODELPORT_NATS_PASSWORD", True),
        ("secret", True),
        ("Set-Cookie", True),
        ("secret_name", False),
        ("api_key_secret_name", False),
        ("service_token_file", False),
        ("max_tokens", False),
        ("key", False),
        ("author", False),
    ],
)
def test_names(name: str, secret: bool) -> None:
    assert is_secret_name(name) is secret


def test_fields_at_any_depth() -> None:
    class Odd:
        def __repr__(self) -> str:
            return f"Odd(api_key='{SECRET}')"

    event: dict[str, Any] = {
        "event": f"sent Bearer {SECRET}",
        "token": SECRET,
        "password": 12345,
        "secret": None,
        "has_token": True,
        "number": 1.5,
        "headers": {b"authorization": b"Basic x", "accept": "text/plain"},
        "pairs": [("x-api-key", SECRET), (b"cookie", SECRET.encode()), ("accept", "text/plain")],
        "deep": {"a": [{"b": ({"client_secret": SECRET},)}]},
        "odd": Odd(),
        "error": ValueError(f"password={SECRET}"),
        f"sk-{SECRET}": "a key that is a name",
    }
    shown = redact_event(None, "info", event)
    assert SECRET not in repr(shown)
    assert (shown["token"], shown["password"], shown["secret"], shown["has_token"]) == (REDACTED, REDACTED, None, True)
    assert shown["number"] == 1.5
    assert shown["headers"] == {"authorization": REDACTED, "accept": "text/plain"}
    assert shown["pairs"] == [["x-api-key", REDACTED], ["b'cookie'", REDACTED], ["accept", "text/plain"]]
    assert shown["deep"] == {"a": [{"b": [{"client_secret": REDACTED}]}]}
    assert shown["odd"] == f"Odd(api_key='{REDACTED}')"
    assert json.dumps(shown)


def test_a_loop_and_a_representation_that_fails() -> None:
    loop: list[Any] = [f"sk-{SECRET}"]
    loop.append(loop)
    assert SECRET not in repr(redact(loop))

    class Failing:
        def __repr__(self) -> str:
            raise RuntimeError(SECRET)

    shown = redact_event(None, "info", {"event": f"sk-{SECRET}", "level": "info", "odd": Failing()})
    assert shown == {"event": "a record could not be redacted and is left out: RuntimeError", "level": "info"}


@dataclass
class Holder:
    """Equal to each other, and without a hash."""


def test_a_value_is_redacted_as_long_as_its_holder_is_there() -> None:
    values = HeldValues()
    value = "plain-words-" + SECRET + " and/" + SECRET[::-1]
    text = f"it said: {value}!"
    first, second = Holder(), Holder()
    values.hold(first, value)
    values.hold(second, value)
    assert redact_text(text, values) == f"it said: {REDACTED} and/{REDACTED}!"
    assert redact({"a": [text]}, values=values) == {"a": [f"it said: {REDACTED} and/{REDACTED}!"]}
    del first
    assert SECRET not in redact_text(text, values)
    del second
    gc.collect()
    assert redact_text(text, values) == text
    assert len(values) == 0
    values.hold(Holder(), "short")
    assert len(values) == 0


def test_no_value_is_kept_to_know_it_again() -> None:
    values = HeldValues()
    holder = Holder()
    values.hold(holder, SECRET)
    values.keep(SECRET * 2)
    assert SECRET not in repr([vars(values), gc.get_referents(values._runs)])


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"redis://user:{SECRET}@h:1/0", REDACTED),
        (f"nats://a:b@h,nats://{SECRET}@h", REDACTED),
        ("postgresql://u:Zq7xT2mKf9wPb%2D4Lr8@h/d", SECRET),
        ("http://h:80/Zq7xT2mKf9wPb4Lr8", SECRET),
        ("not an address", SECRET),
    ],
)
def test_passwords_of_addresses_are_kept(address: str, shown: str) -> None:
    values = HeldValues()
    values.keep_password(address)
    assert redact_text(SECRET, values) == shown
    if "%2D" in address:
        assert redact_text("it is Zq7xT2mKf9wPb-4Lr8", values) == f"it is {REDACTED}"


PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.just(f"sk-{SECRET}")),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner), st.tuples(inner, inner)),
)


@settings(max_examples=50)
@given(PLAIN)
def test_anything_can_be_redacted_and_shows_no_key(value: Any) -> None:
    assert SECRET not in repr(redact(value))


@given(st.text(), st.text())
def test_a_key_is_found_in_any_text(before: str, after: str) -> None:
    if not before[-1:].isascii() or not before[-1:].isalnum():
        assert SECRET not in redact_text(f"{before}sk-{SECRET}{after}")
    assert SECRET not in redact_text(f"{before} Bearer {SECRET}{after}")
    assert SECRET not in redact_text(f"{before}://u:{SECRET}@h{after}")


@given(st.text(alphabet="abcdefgh AK-_:=/@\"'\\.\n,[]{}"))
def test_redacting_twice_changes_nothing(text: str) -> None:
    shown = redact_text(text + " token=" + text)
    assert redact_text(shown) == shown


@pytest.mark.parametrize(
    "piece", ["authorization: ", "token=b'\\", "bearer ", "a+", "x-", "eyJabcdefgh", "://a:", "\\"]
)
def test_no_text_takes_long(piece: str) -> None:
    """No rule goes back and forth: one that does takes minutes here, not milliseconds."""
    started = time.process_time()
    assert REDACTED in redact_text(piece * 10_000 + "api-key: x")
    assert time.process_time() - started < 5

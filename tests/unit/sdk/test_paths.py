import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport import ArgumentError, paths
from modelport.calls import json_body, list_query
from modelport.scope import Scope


@pytest.mark.parametrize("text", ["", ".", ".."])
def test_a_parameter_that_would_name_another_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="name must not be"):
        paths.segment(text, "name")


def test_parameters_are_encoded() -> None:
    assert paths.segment("a/b?c#d%", "name") == "a%2Fb%3Fc%23d%25"
    assert paths.segment("gpt-4@1.2+x_*", "name") == "gpt-4@1.2+x_*"


@pytest.mark.parametrize(
    ("given_uri", "sent"),
    [
        ("v1/chat/completions", "v1/chat/completions"),
        ("//v1/models", "v1/models"),
        ("v1/models?limit=5&after=a%2Fb", "v1/models?limit=5&after=a%2Fb"),
        ("v1/files/a%2Fb", "v1/files/a%2Fb"),
        ("v1/x y#z", "v1/x%20y%23z"),
        ("v1/100%", "v1/100%25"),
        ("v1/ä", "v1/%C3%A4"),
        ("", ""),
    ],
)
def test_what_follows_the_dash_keeps_its_slashes_and_escapes(given_uri: str, sent: str) -> None:
    assert paths.trailing(given_uri) == sent


@pytest.mark.parametrize("uri", ["../x", "v1/../../x", "v1/%2e%2E/x", "v1/.", "a/..;p/b", "a\\..\\b"])
def test_dot_segments_never_leave_the_route(uri: str) -> None:
    with pytest.raises(ValueError, match="dot segments"):
        paths.trailing(uri)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text not in {".", ".."}))
def test_a_parameter_is_always_one_segment(text: str) -> None:
    encoded = paths.segment(text, "name")
    assert re.fullmatch(r"(?:[A-Za-z0-9\-@.+_*~]|%[0-9A-F]{2})+", encoded)
    assert unquote(encoded) == text


def test_workspaces_of_calls() -> None:
    scope = Scope("http://x", "team")
    assert scope.in_workspace("/apis/s/v2", None, "secrets") == "/apis/s/v2/workspaces/team/secrets"
    assert scope.in_workspace("/apis/s/v2", "-", "secrets") == "/apis/s/v2/workspaces/-/secrets"


def test_bodies_leave_out_what_is_not_given() -> None:
    from modelport import UNSET

    assert json_body({"a": None, "b": 0}) == b'{"b": 0}'
    assert json_body({"a": None, "b": UNSET}, drop="unset") == b'{"a": null}'


def test_list_queries() -> None:
    query = list_query(page=2, sort="-name", filter={"status": {"$eq": "READY"}}, verbose=True, other=None)
    assert query == [
        ("page", "2"),
        ("sort", "-name"),
        ("filter", '{"status": {"$eq": "READY"}}'),
        ("verbose", "true"),
    ]
    assert list_query(filter='name~"a"') == [("filter", 'name~"a"')]


@pytest.mark.parametrize("text", ["v1/../SECRET", "v1/SECRET\udcff"])
def test_a_tail_that_is_refused_is_not_repeated(text: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        paths.trailing(text)
    assert "SECRET" not in str(caught.value)


def test_a_parameter_that_is_no_text_is_not_repeated() -> None:
    with pytest.raises(ArgumentError, match="name is no text") as caught:
        paths.segment("SECRET\udcff", "name")
    assert "SECRET" not in str(caught.value)

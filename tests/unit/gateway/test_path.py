from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport_gateway.errors import BadNameError, BadRequestError
from modelport_gateway.parse.head import check_inference_target
from modelport_gateway.parse.path import (
    INFERENCE_PREFIX,
    RouteKind,
    decode_tail,
    listing_request,
    parse_route_part,
    split_route,
    split_target,
)

UNRESERVED = "abcXYZ019-_~"
segments = st.text(UNRESERVED + ".", min_size=1, max_size=8).filter(lambda text: text.strip("."))


def split(path: str) -> tuple[bytes, bytes] | None:
    return split_route(INFERENCE_PREFIX + path.encode())


@pytest.mark.parametrize(
    ("path", "route", "tail"),
    [
        ("w/provider/p/-/v1/x", "w/provider/p", "v1/x"),
        ("w/model/m/-/", "w/model/m", ""),
        ("w/provider/p/-", "w/provider/p", ""),
        ("w/openai/-/v1/chat", "w/openai", "v1/chat"),
        ("w/openai/-", "w/openai", ""),
        ("w/provider/p/-/a/-/b", "w/provider/p", "a/-/b"),
        ("w/provider/p/-/-/b", "w/provider/p", "-/b"),
        ("-/provider/p/-/b", "-/provider/p", "b"),
        ("w/provider/%70/-/b", "w/provider/%70", "b"),
        ("w/provider/p/-//b", "w/provider/p", "/b"),
    ],
)
def test_the_first_separator_after_the_name_splits(path: str, route: str, tail: str) -> None:
    assert split(path) == (INFERENCE_PREFIX + route.encode(), tail.encode())


@pytest.mark.parametrize(
    "path",
    [
        "",
        "w",
        "w/",
        "w/provider",
        "w/provider/p",
        "w/provider/p/ready",
        "w/virtual-models",
        "w/virtual-models/x/-/y",
        "w/openai/v1/-/x",
        "w/provider/a/b/-/c",
        "w/applied/provider/x",
        "w/provider/p/-x",
        "w/provider/p/%2D/x",
    ],
)
def test_any_other_path_is_not_the_data_plane_s(path: str) -> None:
    assert split(path) is None


def test_only_the_exact_prefix_counts() -> None:
    for path in (
        b"//apis/inference-gateway/v2/workspaces/w/openai/-/x",
        b"/apis/inference-gateway/v1/workspaces/w/openai/-/x",
    ):
        assert split_route(path) is None


def test_names_are_decoded_once_and_checked() -> None:
    route = parse_route_part(INFERENCE_PREFIX + b"my-team/provider/%6Fpenai%2Beu")
    assert (route.kind, route.workspace, route.name) == (RouteKind.PROVIDER, "my-team", "openai+eu")
    assert route.path == INFERENCE_PREFIX + b"my-team/provider/%6Fpenai%2Beu/-/"
    for bad in (
        b"-/provider/pp",
        b"ww/provider/%2570",
        b"ww/provider/P",
        b"ww/model/a%2Fb",
        b"ww/provider/",
        b"w%FF/openai",
    ):
        with pytest.raises(BadNameError, match="2 to 63 characters"):
            parse_route_part(INFERENCE_PREFIX + bad)


def test_the_query_is_split_at_the_first_mark() -> None:
    assert split_target(b"/a?b?c") == (b"/a", b"?b?c")
    assert split_target(b"/a?") == (b"/a", b"?")
    assert split_target(b"/a") == (b"/a", b"")


@pytest.mark.parametrize(
    ("tail", "query", "expected"),
    [
        (b"v1/a%2Fb", b"?x", (b"v1/a%2Fb", b"?x")),
        (b"v1%2Fa", b"", (b"v1/a", b"")),
        (b"v1%2fa%3fb%3D1", b"?c=2", (b"v1/a", b"?b=1&c=2")),
        (b"v1%2Fa%3F", b"?c=2", (b"v1/a", b"?&c=2")),
        (b"v1%2Fa%3Fx", b"?", (b"v1/a", b"?x")),
        (b"models%3Fa%3Fb", b"", (b"models", b"?a?b")),
        (b"a%20b", b"", (b"a%20b", b"")),
        (b"a%2Fb%20c%23d%22%00%C3%A9%5C", b"", (b"a/b%20c%23d%22%00%C3%A9%5C", b"")),
        (b"a%2F100%25", b"", (b"a/100%25", b"")),
        (b"a%2F%252F", b"", (b"a/%2F", b"")),
        (b"a%2F%25zz", b"", (b"a/%25zz", b"")),
        (b"%2F%2Fa", b"", (b"a", b"")),
        (b"//a//b", b"", (b"a//b", b"")),
    ],
)
def test_a_tail_that_the_sdk_encoded_is_decoded_once(tail: bytes, query: bytes, expected: tuple[bytes, bytes]) -> None:
    assert decode_tail(tail, query) == expected


@pytest.mark.parametrize(
    "tail",
    [
        b"..",
        b".",
        b"a/..",
        b"a/../b",
        b"a/./b",
        b"../a",
        b"%2e%2e/a",
        b"a/.%2E/b",
        b"a/..;x=1/b",
        b"a/..%3bx/b",
        b"a%5c..%5cb",
        b"a%2F..%2Fb",
        b"v1%2F..%2Fb",
        b"%2E",
        b"a/..%2fb",
        b"/../a",
        b"a\\..\\b",
    ],
)
def test_dot_segments_are_refused(tail: bytes) -> None:
    with pytest.raises(BadRequestError, match="dot segment"):
        decode_tail(tail, b"")


@pytest.mark.parametrize("tail", [b"...", b"a..b", b"..a", b"a/...", b"gpt-3.5", b".well-known/x", b"a/%252e%252e/b"])
def test_dots_elsewhere_pass(tail: bytes) -> None:
    assert decode_tail(tail, b"?../..")[0] == tail


@given(st.lists(segments, min_size=2, max_size=5), st.text("abc=&%?/.:", max_size=20))
def test_plain_tails_pass_byte_for_byte(parts: list[str], query: str) -> None:
    tail = "/".join(parts).encode()
    raw_query = f"?{query}".encode() if query else b""
    assert decode_tail(tail, raw_query) == (tail, raw_query)


@given(st.lists(segments, min_size=2, max_size=4), st.text("abc=&+ é/?", max_size=10))
def test_what_the_sdk_encodes_arrives_as_it_was(parts: list[str], query: str) -> None:
    given_path = "/".join(parts)
    uri = f"{given_path}?{quote(query, safe='=&+/?')}"
    path, arrived = decode_tail(quote(uri, safe="").encode(), b"")
    assert path.decode() == given_path
    assert arrived.decode() == uri[len(given_path) :]


@pytest.mark.parametrize("target", [b"/a#b", b"/a\\b", b'/a"b', b"/a<b", b"/a>b", b"http://x/a", b"*", b"a:443"])
def test_targets_that_are_read_differently_are_refused(target: bytes) -> None:
    with pytest.raises(BadRequestError):
        check_inference_target(target)


@pytest.mark.parametrize(
    ("method", "tail", "wanted"),
    [
        (b"GET", b"v1/models", ""),
        (b"HEAD", b"v1%2Fmodels", ""),
        (b"GET", b"v1/models/a%2Fb", "a/b"),
        (b"GET", b"v1/models/a/b", "a/b"),
        (b"GET", b"v1%2Fmodels%2Fa%2Fb", "a/b"),
        (b"POST", b"v1/models", None),
        (b"GET", b"v1/modelsx", None),
        (b"GET", b"models", None),
    ],
)
def test_the_listing_is_recognised(method: bytes, tail: bytes, wanted: str | None) -> None:
    assert listing_request(method, tail, b"") == wanted

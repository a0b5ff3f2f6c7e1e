import pytest

from modelport_gateway.prepare.url import join_path, parse_host_url, route_location

ROUTE = b"/apis/x/-/"


@pytest.mark.parametrize(
    ("host_url", "tail", "path"),
    [
        ("https://h", b"v1/x", b"/v1/x"),
        ("https://h/", b"v1/x", b"/v1/x"),
        ("https://h/v1", b"v1/x", b"/v1/x"),
        ("https://h/v1/", b"v1/x", b"/v1/x"),
        ("https://h/v1", b"v1", b"/v1"),
        ("https://h/v1", b"x", b"/v1/x"),
        ("https://h/v1", b"v1x", b"/v1/v1x"),
        ("https://h/v1", b"", b"/v1/"),
        ("https://h/v11", b"v1/x", b"/v11/v1/x"),
        ("https://h/api/v1", b"v1/x", b"/api/v1/x"),
        ("https://h/my-v1", b"v1/x", b"/my-v1/v1/x"),
        ("https://h/a%2Fb", b"c", b"/a%2Fb/c"),
    ],
)
def test_the_base_and_the_tail_are_joined(host_url: str, tail: bytes, path: bytes) -> None:
    assert join_path(parse_host_url(host_url), tail) == path


@pytest.mark.parametrize(
    ("host_url", "scheme", "host", "port", "header"),
    [
        ("http://h", "http", "h", 80, "h"),
        ("https://H:443/x", "https", "h", 443, "h"),
        ("HTTPS://h:8443", "https", "h", 8443, "h:8443"),
        ("http://[::1]:8000", "http", "::1", 8000, "[::1]:8000"),
        ("http://h:443", "http", "h", 443, "h:443"),
    ],
)
def test_the_origin(host_url: str, scheme: str, host: str, port: int, header: str) -> None:
    origin = parse_host_url(host_url).origin
    assert (origin.scheme, origin.host, origin.port, origin.host_header) == (scheme, host, port, header)
    assert str(origin) == f"{scheme}://{header}"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (b"https://h/v1/a?b=c", ROUTE + b"a?b=c"),
        (b"HTTPS://H/v1/a", ROUTE + b"a"),
        (b"/v1/a", ROUTE + b"a"),
        (b"/v1", ROUTE),
        (b"/v1?x", ROUTE + b"?x"),
        (b"/v1beta", b"https://h/v1beta"),
        (b"https://h/", b"https://h/"),
        (b"https://h.evil/v1/a", b"https://h.evil/v1/a"),
        (b"http://h/v1/a", b"http://h/v1/a"),
        (b"//h/v1/a", b"//h/v1/a"),
        (b"a/b", b"a/b"),
        (b"", b""),
    ],
)
def test_locations(location: bytes, expected: bytes) -> None:
    assert route_location(location, parse_host_url("https://h/v1"), ROUTE) == expected

"""How a provider's host_url and the tail of a request become one URL (docs/wire.md, 3.5)."""

from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from modelport_gateway.prepare.ca import Ca


class Origin(NamedTuple):
    """Where connections go: scheme, host and port, and whom to believe there. Connections of others are not shared.

    A tuple, because each request finds its pool by it: a dataclass takes 0.4 us to compute its hash.
    """

    scheme: str
    host: str
    """As in the URL, an IPv6 address without its brackets."""
    port: int
    ca: Ca | None = None
    """The only CA believed; None: those of the gateway."""

    @property
    def is_tls(self) -> bool:
        return self.scheme == "https"

    @property
    def host_header(self) -> str:
        """The value of Host: the port only where it is not the scheme's own (RFC 9110, 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host_header}"


_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """A provider's host_url, taken apart once."""

    origin: Origin
    path: bytes
    """With a `/` at the end."""
    ends_in_v1: bool


def parse_host_url(host_url: str) -> BaseUrl:
    """Take a host_url apart. Raises ValueError for a scheme other than http and https, or without a host."""
    parts = urlsplit(host_url)
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("the provider's host_url must begin with http:// or https:// and name a host")
    path = parts.path.rstrip("/")
    origin = Origin(scheme, parts.hostname, parts.port or _DEFAULT_PORTS[scheme])
    return BaseUrl(origin, path.encode() + b"/", path.endswith("/v1"))


def join_path(base: BaseUrl, tail: bytes) -> bytes:
    """Join the base path and a tail without leading slash; of `/v1` and `v1/` in a row, one goes."""
    if base.ends_in_v1 and (tail == b"v1" or tail.startswith(b"v1/")):
        return base.path[:-1] + tail[2:]
    return base.path + tail


def route_location(location: bytes, base: BaseUrl, route_path: bytes) -> bytes:
    """Rewrite a reply's Location (docs/dataplane.md, Headers back).

    One below the provider's base URL becomes the route's own path, so that a client that follows it comes back
    here with its own credential. One elsewhere on the provider's origin becomes absolute, any other passes.
    """
    own = str(base.origin).encode()
    if location.startswith(b"/") and not location.startswith(b"//"):
        path = location
    elif location.lower().startswith(own.lower()) and location[len(own) : len(own) + 1] in (b"/", b"?", b""):
        path = location[len(own) :] or b"/"
    else:
        return location
    if path.startswith(base.path):
        return route_path + path[len(base.path) :]
    if path.split(b"?", 1)[0] == base.path[:-1]:
        return route_path + path[len(base.path) - 1 :]
    return own + path if path is location else location

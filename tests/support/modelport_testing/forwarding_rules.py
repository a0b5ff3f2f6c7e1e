"""What docs/dataplane.md says of headers and paths, written down a second time: an oracle for tests.

Plain and slow on purpose. It imports nothing of the gateway, so that the two can disagree.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

HOP_BY_HOP = {
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"transfer-encoding",
    b"upgrade",
    b"trailer",
    b"http2-settings",
}
NEVER_TO_A_PROVIDER = {
    b"host",
    b"content-length",
    b"expect",
    b"authorization",
    b"proxy-authorization",
    b"x-api-key",
    b"api-key",
    b"x-goog-api-key",
    b"ocp-apim-subscription-key",
    b"cookie",
    b"forwarded",
    b"x-real-ip",
    b"true-client-ip",
    b"cf-connecting-ip",
}
NEVER_TO_A_PROVIDER_PREFIXES = (b"x-forwarded-", b"x-nmp-", b"x-modelport-")
NEVER_TO_A_CLIENT = {
    b"set-cookie",
    b"alt-svc",
    b"strict-transport-security",
    b"public-key-pins",
    b"nel",
    b"report-to",
    b"reporting-endpoints",
    b"clear-site-data",
    b"proxy-authenticate",
    b"x-sendfile",
}
NEVER_TO_A_CLIENT_PREFIXES = (b"x-accel-", b"x-modelport-")

_LEGAL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/?[]"
_HEX = b"0123456789abcdefABCDEF"


@dataclass(frozen=True)
class Dressing:
    """What a provider's registration adds to requests."""

    host: bytes
    default_headers: dict[bytes, bytes] = field(default_factory=dict)
    required_headers: dict[bytes, bytes] = field(default_factory=dict)
    auth: tuple[bytes, bytes] | None = None
    loop: bytes = b"CDN-Loop: modelport-test"


def name_of(line: bytes) -> bytes:
    """Return a header line's name in lower case."""
    return line.split(b":", 1)[0].lower()


def named_by_connection(lines: Sequence[bytes]) -> set[bytes]:
    """Return the names that Connection headers list."""
    named: set[bytes] = set()
    for line in lines:
        if name_of(line) == b"connection":
            for token in line.split(b":", 1)[1].split(b","):
                named.add(token.strip(b" \t").lower())
    return named - {b"", b"close", b"keep-alive"}


def lines_to_provider(lines: Sequence[bytes], dressing: Dressing) -> list[bytes]:
    """Return the header lines that a provider gets, framing aside."""
    dropped = HOP_BY_HOP | NEVER_TO_A_PROVIDER | named_by_connection(lines)
    dropped |= {name.lower() for name in dressing.required_headers}
    if dressing.auth is not None:
        dropped.add(dressing.auth[0].lower())
    kept = [
        line
        for line in lines
        if name_of(line) not in dropped and not name_of(line).startswith(NEVER_TO_A_PROVIDER_PREFIXES)
    ]
    present = {name_of(line) for line in kept}
    added = [name + b": " + value for name, value in dressing.default_headers.items() if name.lower() not in present]
    added += [name + b": " + value for name, value in dressing.required_headers.items()]
    if dressing.auth is not None:
        added.append(dressing.auth[0] + b": " + dressing.auth[1])
    return [b"Host: " + dressing.host, *kept, *added, dressing.loop]


def lines_to_client(lines: Sequence[bytes], status: int, *, route: bytes, origin: bytes) -> list[bytes]:
    """Return the provider's header lines that a client gets."""
    dropped = HOP_BY_HOP | NEVER_TO_A_CLIENT | (named_by_connection(lines) - {b"content-length"})
    if status == 204:
        dropped |= {b"content-length"}  # RFC 9110, 8.6
    return [
        _located(line, route, origin)
        for line in lines
        if name_of(line) not in dropped and not name_of(line).startswith(NEVER_TO_A_CLIENT_PREFIXES)
    ]


def _located(line: bytes, route: bytes, origin: bytes) -> bytes:
    if name_of(line) != b"location":
        return line
    location = line.split(b":", 1)[1].strip(b" \t")
    path = location.removeprefix(origin)
    if not path.startswith(b"/") or path.startswith(b"//"):
        return line
    if path.startswith(b"/v1/"):
        return b"Location: " + route + path.removeprefix(b"/v1/")
    return line if location.startswith(origin) else b"Location: " + origin + path


def target_at_provider(tail: bytes, query: bytes) -> bytes:
    """Return the request target below a host_url that ends in /v1. `query` has its `?`, if there is one."""
    if b"/" not in tail and (b"%2f" in tail.lower() or b"%3f" in tail.lower()):
        tail, mark, inner = decoded_parameter(tail).partition(b"?")
        if mark and len(query) > 1:
            query = b"?" + inner + b"&" + query[1:]
        elif mark:
            query = b"?" + inner
    while tail.startswith(b"/"):
        tail = tail[1:]
    if tail == b"v1":
        return b"/v1" + query
    return b"/v1/" + tail.removeprefix(b"v1/") + query


def decoded_parameter(text: bytes) -> bytes:
    """Decode once; what may not stand in a target stays encoded, and so does a % that begins no escape."""
    out = b""
    while text:
        if text[:1] == b"%" and len(text) >= 3 and text[1] in _HEX and text[2] in _HEX:
            byte = int(text[1:3], 16)
            after = text[3:5]
            begins_escape = len(after) == 2 and after[0] in _HEX and after[1] in _HEX
            is_decoded = byte in _LEGAL or (byte == 0x25 and begins_escape)
            out += bytes((byte,)) if is_decoded else text[:3]
            text = text[3:]
        else:
            out += text[:1]
            text = text[1:]
    return out


def has_dot_segment(tail: bytes) -> bool:
    """Say whether a server might take a segment for `.` or `..`."""
    text = tail.lower()
    for escape, character in ((b"%2f", b"/"), (b"%5c", b"/"), (b"\\", b"/"), (b"%2e", b"."), (b"%3b", b";")):
        text = text.replace(escape, character)
    return any(segment.split(b";")[0] in (b".", b"..") for segment in text.split(b"/"))

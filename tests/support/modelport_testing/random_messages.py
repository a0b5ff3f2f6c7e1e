"""Strategies: random valid HTTP/1.1 requests and replies as bytes, with what they mean beside them."""

import json
import random
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import quote_from_bytes

from hypothesis import strategies as st

from modelport_testing.forwarding_rules import decoded_parameter, has_dot_segment, name_of

METHODS = [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS"]
TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PATH = "abcXYZ019-._~!$&'()*+,;=:@{}|^`[]"
_QUERY = _PATH + "/?"
_LINE_ENDS = [b"\r\n\r\n", b"0\r\n\r\n", b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n", b"data: x\n\n"]

# Names with a meaning of their own to the gateway beyond being kept or dropped are drawn apart.
_TO_PROVIDER = [
    *("User-Agent", "Accept", "Accept-Encoding", "anthropic-beta", "OpenAI-Organization", "traceparent", "X-Default"),
    *("X-Required", "X-Provider-Auth", "Via", "Idempotency-Key", "Origin", "Range", "X-Stainless-Lang", "Date"),
    *("Authorization", "Proxy-Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Ocp-Apim-Subscription-Key"),
    *("Cookie", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "HTTP2-Settings", "Forwarded", "X-Real-IP"),
    *("X-Forwarded-For", "X-Forwarded-Anything", "True-Client-IP", "CF-Connecting-IP", "x-nmp-user", "x-modelport-y"),
]
_TO_CLIENT = [
    *("Content-Type", "Content-Encoding", "Server", "ETag", "Vary", "Retry-After", "x-request-id", "openai-version"),
    *("Cache-Control", "Link", "WWW-Authenticate", "Access-Control-Allow-Origin", "X-Ratelimit-Remaining", "Date"),
    *("Set-Cookie", "Alt-Svc", "Strict-Transport-Security", "Public-Key-Pins", "NEL", "Report-To", "Trailer"),
    *("Reporting-Endpoints", "Clear-Site-Data", "Proxy-Authenticate", "X-Accel-Redirect", "X-Sendfile", "Keep-Alive"),
    *("x-modelport-request-id", "x-modelport-error-origin", "Proxy-Connection", "HTTP2-Settings", "TE", "Upgrade"),
]
_APART = {b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade", b"cdn-loop"}
_APART |= {b"x-modelport-min-revision", b"content-type", b"content-encoding", b"x-request-id", b"location"}


@dataclass(frozen=True)
class Request:
    """A request; `raw` is all of it."""

    method: bytes
    tail: bytes
    query: bytes
    """With its `?`; empty where there is none."""
    lines: tuple[bytes, ...]
    framing: str
    """none, length, chunked."""
    body: bytes
    raw: bytes
    sent_body: bytes
    """What the provider is to get."""
    is_http_10: bool
    is_last: bool


@dataclass(frozen=True)
class Reply:
    """A reply; `raw` is all of it, interim replies included."""

    status_line: bytes
    """As a client is to see it."""
    status: int
    lines: tuple[bytes, ...]
    framing: str
    """none, length, chunked, close."""
    body: bytes
    raw: bytes
    closes: bool


@st.composite
def cased(draw: st.DrawFn, name: str) -> bytes:
    """Spell a name in any case."""
    spellings = [name, name.lower(), name.upper(), name.title(), name.swapcase()]
    return draw(st.sampled_from(spellings)).encode()


_value_bytes = st.lists(st.sampled_from([*range(0x20, 0x7F), 0x09, *range(0x80, 0x100)]), max_size=30).map(bytes)
values = st.one_of(
    st.just(b" x"), st.just(b"x"), st.just(b""), _value_bytes, _value_bytes.map(lambda text: b" " + text)
)


@st.composite
def header_lines(draw: st.DrawFn, names: list[str]) -> list[bytes]:
    """Draw header lines: known and unknown names, duplicates, any order."""
    lines = []
    for _ in range(draw(st.integers(0, 10))):
        if draw(st.booleans()):
            name = draw(st.sampled_from(names).flatmap(cased))
        else:
            name = draw(st.text(TOKEN, min_size=1, max_size=12)).encode()
        if name.lower() not in _APART:
            lines.append(name + b":" + draw(values))
    lines += draw(st.lists(st.sampled_from(lines), max_size=1)) if lines else []
    if draw(st.integers(0, 3)) == 0:
        others = [name_of(line) for line in lines]
        tokens = draw(st.lists(st.sampled_from([*others, b"keep-alive", b"X-Nowhere", b"", b"te"]), max_size=3))
        lines.append(draw(cased("Connection")) + b": " + draw(st.sampled_from([b",", b", ", b" ,\t"])).join(tokens))
    return draw(st.permutations(lines))


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """Draw 0 to 200 KB, line ends that look like framing among them."""
    size = draw(st.one_of(st.just(0), st.integers(1, 300), st.integers(0, 200_000)))
    if draw(st.booleans()):
        return random.Random(draw(st.integers(0, 1000))).randbytes(size)
    return (draw(st.sampled_from(_LINE_ENDS)) * (size // 4 + 1))[:size]


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    """Frame a body in chunks of any size, with extensions and trailers."""
    extension = draw(st.sampled_from([b"", b"", b";a", b";a=b", b';a="b;\\"c";d']))
    sizes = draw(st.lists(st.sampled_from([1, 2, 7, 100, 4096, 65536, 200_000]), min_size=1, max_size=4))
    spelling = draw(st.sampled_from([b"%x", b"%X", b"%06x"]))
    out, position, step = [], 0, 0
    while position < len(body):
        # Chunks of a byte or two at the beginning only: a large body of them says nothing more.
        size = sizes[step % len(sizes)] if step < 50 else 50_000
        piece = body[position : position + size]
        out.append(spelling % len(piece) + extension + b"\r\n" + piece + b"\r\n")
        position += size
        step += 1
    trailers = draw(st.sampled_from([b"", b"", b"X-T: 1\r\n", b"Authorization: evil\r\nExpires: 0\r\n"]))
    return b"".join(out) + b"0\r\n" + trailers + b"\r\n"


@st.composite
def tails(draw: st.DrawFn) -> bytes:
    """Draw what stands behind the separator, as clients send it or as the published SDK does."""

    def segment() -> str:
        pieces = st.one_of(
            st.text(_PATH, max_size=6),
            st.binary(min_size=1, max_size=3).map(lambda data: "".join(f"%{byte:02x}" for byte in data)),
            st.sampled_from(["%2F", "%3f", "%25", "%252F", "%", "%zz", "v1", "-", "%C3%A9"]),
        )
        return "".join(draw(st.lists(pieces, max_size=3)))

    text = "/".join(segment() for _ in range(draw(st.integers(0, 4))))
    path = text.encode()
    if draw(st.booleans()):
        path = draw(st.sampled_from([b"v1/", b"/v1/", b"//", b"a/-/", b""])) + path
    if draw(st.integers(0, 3)) == 0:
        inner = path + (b"?" + draw(queries()) if draw(st.booleans()) else b"")
        path = quote_from_bytes(inner, safe="").encode()
    if has_dot_segment(path) or has_dot_segment(decoded_parameter(path).partition(b"?")[0]):
        return b"v1/chat/completions"
    return path


@st.composite
def queries(draw: st.DrawFn) -> bytes:
    """Draw a query without its `?`."""
    pieces = st.one_of(
        st.text(_QUERY, max_size=8), st.sampled_from(["a=1", "&", "%20", "%2F", "%", "/-/", "..", "%00"])
    )
    return "".join(draw(st.lists(pieces, max_size=4))).encode()


@st.composite
def model_bodies(draw: st.DrawFn, named: list[bytes], served: bytes, *, may_be_absent: bool) -> tuple[bytes, bytes]:
    """Draw a JSON object whose `model` is one of `named`; return it and what is to become of it."""
    blanks = st.text(" \t\r\n", max_size=2).map(str.encode)
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
    nested = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
    keys = draw(st.lists(texts.filter(lambda key: key.lower() != "model"), unique=True, max_size=4))
    members = []
    for key in keys:
        value = json.dumps(draw(nested), ensure_ascii=draw(st.booleans())).encode()
        spelled = json.dumps(key, ensure_ascii=draw(st.booleans())).encode()
        members.append(draw(blanks) + spelled + draw(blanks) + b":" + draw(blanks) + value + draw(blanks))
    if draw(st.booleans()):
        members.append(b'"padding":"' + b"y" * draw(st.integers(0, 150_000)) + b'"')
    opening, closing = draw(blanks) + b"{", draw(blanks) + b"}" + draw(blanks)
    if may_be_absent and draw(st.integers(0, 3)) == 0:
        rest = b",".join(members)
        inserted = b'"model":' + served + (b"," if members else b"")
        return opening + rest + closing, opening + inserted + rest + closing
    at = draw(st.integers(0, len(members)))
    model = draw(blanks) + draw(st.sampled_from([b'"model"', b'"m\\u006fdel"'])) + draw(blanks) + b":" + draw(blanks)
    before = opening + b"".join(member + b"," for member in members[:at]) + model
    after = draw(blanks) + b"".join(b"," + member for member in members[at:]) + closing
    return before + draw(st.sampled_from(named)) + after, before + served + after


@st.composite
def requests(
    draw: st.DrawFn, route: bytes, bodies: st.SearchStrategy[tuple[bytes, bytes]] | None = None, *, is_last: bool
) -> Request:
    """Draw a request below `route`; with `bodies` a JSON one, (what is sent, what the provider is to get)."""
    method, tail = draw(st.sampled_from(METHODS)), draw(tails())
    query = draw(st.just(b"") | queries().map(lambda text: b"?" + text))
    lines = draw(header_lines(_TO_PROVIDER))
    if bodies is None:
        body = sent_body = draw(payloads())
        framing = (
            draw(st.sampled_from(["length", "chunked"]))
            if body
            else draw(st.sampled_from(["none", "length", "chunked"]))
        )
        lines += draw(
            st.lists(st.sampled_from([b"Content-Type: application/json", b"content-encoding:gzip"]), max_size=2)
        )
    else:
        body, sent_body = draw(bodies)
        framing = draw(st.sampled_from(["length", "chunked"]))
        lines.append(
            draw(st.sampled_from([b"Content-Type: application/json", b"content-type:application/x+json; a=b"]))
        )
        # The OpenAI route answers this itself.
        method, tail = draw(st.sampled_from([b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"])), tail
    lines += draw(
        st.lists(
            st.sampled_from(
                [b"Expect: 100-continue", b"CDN-Loop: other; a=b", b"Upgrade: h2c", b"X-Request-Id: mine-1"]
            ),
            max_size=2,
            unique=True,
        )
    )
    is_http_10 = is_last and framing != "chunked" and draw(st.booleans())
    if is_last and not is_http_10:
        lines.append(b"Connection: close")
    lines.append(b"Host:" + draw(st.sampled_from([b" gateway.test", b"x", b" 127.0.0.1:1 "])))
    payload = body
    if framing == "length":
        lines.append(draw(cased("Content-Length")) + b": %d" % len(body))
    elif framing == "chunked":
        lines.append(draw(cased("Transfer-Encoding")) + b": " + draw(st.sampled_from([b"chunked", b"Chunked"])))
        payload = draw(chunked(body))
    lines = draw(st.permutations(lines))
    target = route + tail + query
    start = method + b" " + target + (b" HTTP/1.0" if is_http_10 else b" HTTP/1.1")
    raw = b"\r\n".join([start, *lines]) + b"\r\n\r\n" + payload
    return Request(method, tail, query, tuple(lines), framing, body, raw, sent_body, is_http_10, is_last)


@st.composite
def replies(draw: st.DrawFn, method: bytes, origin: bytes) -> Reply:
    """Draw a reply to `method` from a provider at `origin`."""
    status = draw(st.one_of(st.sampled_from([200, 200, 201, 204, 304, 307, 400, 429, 500, 503]), st.integers(200, 599)))
    reason = draw(
        st.one_of(st.sampled_from([b" OK", b" ", b"", b" Slow  Down \t"]), _value_bytes.map(lambda text: b" " + text))
    )
    version = draw(st.sampled_from([b"HTTP/1.1 ", b"HTTP/1.1 ", b"HTTP/1.0 "]))
    lines = draw(header_lines(_TO_CLIENT))
    locations = [
        origin + b"/v1/files/1?x=y",
        b"/v1/a",
        b"/other",
        origin,
        b"https://elsewhere.test/v1/x",
        b"a/b",
        b"//x/v1/",
    ]
    if draw(st.integers(0, 3)) == 0:
        lines.append(
            draw(cased("Location")) + b":" + draw(st.sampled_from([b" ", b""])) + draw(st.sampled_from(locations))
        )
    if draw(st.integers(0, 5)) == 0:
        lines.append(b"Connection: close")
    body = draw(payloads())
    framings = ["length", "close"] if version == b"HTTP/1.0 " else ["length", "chunked", "close"]
    framing = draw(st.sampled_from(framings))
    payload = body
    if framing == "length":
        lines.append(draw(cased("Content-Length")) + b": %d" % len(body))
    elif framing == "chunked":
        lines.append(draw(cased("Transfer-Encoding")) + b": chunked")
        payload = draw(chunked(body))
    lines = draw(st.permutations(lines))
    if method == b"HEAD" or status in (204, 304):
        body = payload = b""
        framing = "none"
    interim = draw(
        st.sampled_from([b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 X\r\nLink: <y>\r\n\r\n"])
    )
    raw = interim + b"\r\n".join([version + b"%d" % status + reason, *lines]) + b"\r\n\r\n" + payload
    status_line = b"HTTP/1.1 %d" % status + (reason or b" ")
    closes = framing == "close" or any(b"close" in line for line in lines if name_of(line) == b"connection")
    return Reply(status_line, status, tuple(lines), framing, body, raw, closes)


@st.composite
def pieces(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Cut bytes for as many writes."""
    near, far = st.integers(0, min(400, len(data))), st.integers(0, len(data))
    cuts = sorted({0, len(data), *draw(st.lists(st.one_of(near, far), max_size=8))})
    return [data[start:end] for start, end in pairwise(cuts)]

"""The provider's request head (docs/dataplane.md, Headers out).

The client's lines stand as they came, in their order; what the gateway adds stands around them.
"""

from modelport_gateway.parse.head import METHODS_WITH_BODY, RequestHead
from modelport_gateway.parse.lines import names_of, without
from modelport_gateway.prepare.target import Target


def request_head(head: RequestHead, target: Target, path: bytes, query: bytes, framing: bytes) -> bytes:
    """Return the bytes up to and with the empty line."""
    return b"%b%b%b\r\n" % (start_of_head(head, target, path, query), target.block[1], framing)


def start_of_head(head: RequestHead, target: Target, path: bytes, query: bytes) -> bytes:
    """Return the request line, Host, and the client's lines: what comes before anything secret."""
    lines = head.lines
    if target.replaced:
        lines = without(lines, target.replaced)
    if target.defaults:
        present = names_of(lines)
        lines = lines + [line for name, line in target.defaults if name not in present]
    kept = b"\r\n".join((*lines, b""))
    return b"%b %b%b HTTP/1.1\r\n%b%b" % (head.method, path, query, target.block[0], kept)


def length_framing(head: RequestHead, length: int) -> bytes:
    """Return the framing line for a body of known length; requests that have no body by nature get none."""
    if length or head.content_length == 0 or head.chunked or head.method in METHODS_WITH_BODY:
        return b"Content-Length: %d\r\n" % length
    return b""


CHUNKED_FRAMING = b"Transfer-Encoding: chunked\r\n"

"""Why a request cannot be served: typed causes, turned into a reply in one place (relay/replies.py).

Each cause knows its status and its `code` (docs/wire.md, 2 and 3.5). A message says what was wrong and what to
do about it, and never holds a secret.
"""

from collections.abc import Mapping
from typing import ClassVar


class GatewayError(Exception):
    """Base of all causes. `retry_after_s` becomes a Retry-After header."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    retry_after_s: ClassVar[int | None] = None
    ends_connection: ClassVar[bool] = False
    """The connection cannot be trusted to be at a message boundary after this."""
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = code or self.code


class BadRequestError(GatewayError):
    """The request is not one that can be forwarded."""

    status = 400
    code = "bad_request"


class MalformedError(BadRequestError):
    """The bytes are no HTTP/1.1 message; nothing after them can be trusted."""

    code = "malformed_request"
    ends_connection = True


class RequestTimeoutError(GatewayError):
    """The client took too long to send its request."""

    status = 408
    code = "request_timeout"
    ends_connection = True


class NotFoundError(GatewayError):
    """No such provider, model or route."""

    status = 404
    code = "not_found"


class MethodRefusedError(GatewayError):
    """A method that the gateway does not forward."""

    status = 405
    code = "method_not_allowed"
    ends_connection = True
    headers: ClassVar[Mapping[str, str]] = {"allow": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}


class BodyTooLargeError(GatewayError):
    """The body is beyond what the route takes."""

    status = 413
    code = "body_too_large"


class TargetTooLongError(GatewayError):
    """The request line is beyond the limit."""

    status = 414
    code = "request_line_too_long"
    ends_connection = True


class EncodedBodyError(GatewayError):
    """The body would have to be read, and is compressed."""

    status = 415
    code = "content_encoding"


class ExpectationError(GatewayError):
    """An expectation other than 100-continue (RFC 9110, 10.1.1)."""

    status = 417
    code = "expectation_failed"


class BadNameError(GatewayError):
    """A workspace or name that the name rule refuses (docs/wire.md, 3.2)."""

    status = 422
    code = "bad_name"


class SecretMissingError(GatewayError):
    """The provider names a secret that is not to be had."""

    status = 424
    code = "secret_missing"


class SecretUnreadableError(GatewayError):
    """The secrets service has the secret, and cannot open it."""

    status = 424
    code = "secret_unreadable"


class SecretUnusableError(GatewayError):
    """The secret's value cannot stand in a header."""

    status = 424
    code = "secret_unusable"


class CaUnusableError(GatewayError):
    """The provider names a secret as its CA that is not to be had, or holds no certificates."""

    status = 424
    code = "ca_unusable"


class HeadTooLargeError(GatewayError):
    """Header fields beyond the limit."""

    status = 431
    code = "headers_too_large"
    ends_connection = True


class NotImplementedHereError(GatewayError):
    """A transfer coding or protocol upgrade that the gateway does not speak."""

    status = 501
    code = "not_implemented"
    ends_connection = True


class UpstreamError(GatewayError):
    """The provider cannot be reached, or what it answers is no HTTP."""

    status = 502
    code = "upstream_error"


class ConnectFailedError(UpstreamError):
    """No connection to the provider."""

    code = "connect_failed"


class TlsFailedError(UpstreamError):
    """The provider's certificate or handshake was refused."""

    code = "tls_failed"


class EgressRefusedError(UpstreamError):
    """The egress guard does not let the gateway connect there (docs/wire.md, 3.6)."""

    code = "egress_refused"


class UpstreamProtocolError(UpstreamError):
    """The provider's reply breaks HTTP/1.1."""

    code = "upstream_protocol"


class UpstreamClosedError(UpstreamError):
    """The provider closed the connection before its reply was complete."""

    code = "upstream_closed"


class UnavailableError(GatewayError):
    """The gateway cannot serve this now; another try may work."""

    status = 503
    code = "unavailable"
    retry_after_s = 1


class DrainingError(UnavailableError):
    """The gateway is about to leave."""

    code = "draining"
    ends_connection = True


class TableAwayHereError(UnavailableError):
    """The routing table cannot be asked, and the record is not known here."""

    code = "table_away"


class BehindError(UnavailableError):
    """The gateway has not seen the revision that the caller asks for."""

    code = "behind"


class SecretsAwayError(UnavailableError):
    """The secrets service cannot be asked, and the value is not known here."""

    code = "secrets_away"


class NoProviderError(UnavailableError):
    """A virtual model whose targets nobody serves at the moment, or which has none (code `no_target`)."""

    code = "no_provider"


class ProviderBusyError(UnavailableError):
    """The provider has as many requests as its `max_concurrency` allows."""

    code = "provider_busy"


class UpstreamTimeoutError(GatewayError):
    """The provider took too long; the code says in which phase."""

    status = 504
    code = "upstream_timeout"


class ConnectTimeoutError(UpstreamTimeoutError):
    """No connection within the connect timeout."""

    code = "connect_timeout"


class FirstByteTimeoutError(UpstreamTimeoutError):
    """The request was sent, and no reply began within the first-byte timeout."""

    code = "first_byte_timeout"


class IdleTimeoutError(UpstreamTimeoutError):
    """The reply began, then nothing came within the idle timeout."""

    code = "idle_timeout"


class TotalTimeoutError(UpstreamTimeoutError):
    """The whole exchange took longer than the total timeout."""

    code = "total_timeout"


class VersionError(GatewayError):
    """An HTTP version other than 1.0 and 1.1."""

    status = 505
    code = "http_version"
    ends_connection = True


class LoopError(GatewayError):
    """The request has passed through this gateway before (RFC 8586)."""

    status = 508
    code = "loop"

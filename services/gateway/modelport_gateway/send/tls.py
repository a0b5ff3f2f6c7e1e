"""TLS to providers: whom to believe, and sessions that are taken up again.

A session is offered only under the CAs under which it was made, to the same host and port, and for an hour at most
after a whole handshake: one that is resumed looks at no certificate.
"""

import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from modelport_gateway.prepare.ca import Ca

_SESSION_S: Final = 3600.0
_MAX_HOSTS: Final = 256
_MAX_CAS: Final = 256
Clock = Callable[[], float]


def system_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Believe the system's CAs (OpenSSL's SSL_CERT_FILE and SSL_CERT_DIR count), or those of a file in their place.

    Raises OSError or ssl.SSLError for a file that cannot be read.
    """
    return _at_least_tls_12(ssl.create_default_context(cafile=ca_file))


def pinned_context(ca: Ca) -> ssl.SSLContext:
    """Believe one bundle alone. An intermediate or a server's own certificate will do as well."""
    context = _at_least_tls_12(ssl.create_default_context(cadata=ca.pem))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _at_least_tls_12(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class ResumingContext(ssl.SSLContext):
    """What asyncio is given to connect to one host: it offers the last session, for which asyncio has no parameter.

    The connection is made by `context`, of all hosts under the same CAs. This one believes nobody, so that one made
    by it after all would fail.
    """

    def __new__(cls, context: ssl.SSLContext, clock: Clock) -> "ResumingContext":
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, context: ssl.SSLContext, clock: Clock) -> None:
        self._context = context
        self._clock = clock
        self._session: ssl.SSLSession | None = None
        self._verified_at = 0.0

    @property
    def offers_session(self) -> bool:
        """Say whether the next connection offers to resume."""
        return self._session is not None and self._clock() - self._verified_at < _SESSION_S

    def wrap_bio(self, incoming: Any, outgoing: Any, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Do what the shared context does, with the session. asyncio and uvloop make all connections by this."""
        session = self._session if self.offers_session else None
        return self._context.wrap_bio(incoming, outgoing, *arguments, **{**options, "session": session})

    def keep_session(self, connection: ssl.SSLObject) -> None:
        """Keep a connection's session for the next. Best after the first reply: TLS 1.3 sends tickets that late."""
        session = connection.session
        if session is None or not (session.has_ticket or session.id):
            return
        if not connection.session_reused:
            self._verified_at = self._clock()
        self._session = session

    def forget_session(self) -> None:
        """The server may have failed for the session's sake."""
        self._session = None


class _Trust:
    """One set of CAs, and the hosts that were called under it."""

    def __init__(self, context: ssl.SSLContext, clock: Clock) -> None:
        self._context = context
        self._clock = clock
        self._hosts: OrderedDict[tuple[str, int], ResumingContext] = OrderedDict()

    def host(self, host: str, port: int) -> ResumingContext:
        found = self._hosts.get((host, port))
        if found is None:
            found = self._hosts[host, port] = ResumingContext(self._context, self._clock)
            if len(self._hosts) > _MAX_HOSTS:
                self._hosts.popitem(last=False)
        else:
            self._hosts.move_to_end((host, port))
        return found


class ClientTls:
    """Contexts for connections to providers. `system` is believed where a provider names no CA of its own."""

    def __init__(self, system: ssl.SSLContext | None = None, *, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._system = _Trust(system if system is not None else system_context(), clock)
        self._pinned: OrderedDict[Ca, _Trust] = OrderedDict()

    def context(self, host: str, port: int, ca: Ca | None) -> ResumingContext:
        """Return what to connect with."""
        return (self._system if ca is None else self._pinned_trust(ca)).host(host, port)

    def _pinned_trust(self, ca: Ca) -> _Trust:
        found = self._pinned.get(ca)
        if found is None:
            found = self._pinned[ca] = _Trust(pinned_context(ca), self._clock)
            if len(self._pinned) > _MAX_CAS:
                self._pinned.popitem(last=False)
        else:
            self._pinned.move_to_end(ca)
        return found

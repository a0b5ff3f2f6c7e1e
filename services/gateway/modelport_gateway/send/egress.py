"""The one place through which every connection to a provider is made (docs/wire.md, 3.6).

The name is resolved here and the connection made to the resolved address, so that what was judged is what is called.
No proxy of the environment is asked, and no redirect followed.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from modelport_contracts.egress import EgressAllow, meant
from modelport_gateway.errors import (
    ConnectFailedError,
    ConnectTimeoutError,
    EgressRefusedError,
    GatewayError,
    TlsFailedError,
)
from modelport_gateway.prepare.url import Origin
from modelport_gateway.send.resolver import Address, Resolver, in_turns
from modelport_gateway.send.tls import ClientTls, ResumingContext

P = TypeVar("P", bound=asyncio.Protocol)
_MAX_ADDRESSES = 4
"""More of one name are not tried."""


class Egress:
    """Connects to providers, and refuses to connect to the gateway itself or to what is not public.

    `own_addresses` are the (address, port) pairs on which the gateway listens; 0.0.0.0 and :: stand for every
    address of this machine. `allow` says what may be called all the same, the gateway itself excepted.
    """

    def __init__(
        self,
        own_addresses: Iterable[tuple[str, int]],
        allow: EgressAllow,
        *,
        tls: ClientTls | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self._own = {(ipaddress.ip_address(address), port) for address, port in own_addresses}
        self._own_ports = {port for address, port in self._own if address.is_unspecified}
        self._allow = allow
        self._resolver = resolver or Resolver()
        self._tls = tls or ClientTls()

    async def connect(self, origin: Origin, make_protocol: Callable[[socket.socket], P], timeout_s: float) -> P:
        """Connect to one of the origin's addresses, trying them in order, each for its share of `timeout_s` seconds.

        Raises ConnectFailedError, ConnectTimeoutError, TlsFailedError, EgressRefusedError.
        """
        try:
            async with asyncio.timeout(timeout_s) as time_limit:
                return await self._connect(origin, make_protocol, timeout_s, time_limit.when() or 0.0)
        except TimeoutError:
            raise _took_too_long(origin, timeout_s) from None

    async def _connect(
        self, origin: Origin, make_protocol: Callable[[socket.socket], P], timeout_s: float, until: float
    ) -> P:
        tls = self._tls.context(origin.host, origin.port, origin.ca) if origin.is_tls else None
        resumes = tls is not None and tls.offers_session
        addresses = in_turns(await self._addresses(origin), _MAX_ADDRESSES)
        if not addresses:
            raise ConnectFailedError(f"{origin} has no address")
        attempt = _Attempt(origin, tls, timeout_s, until)
        try:
            return await self._try_all(attempt, addresses, make_protocol)
        except (ConnectFailedError, TlsFailedError) as error:
            # Once more: a listener that is being handed over resets what waits in its queue, and there are servers
            # that fail over a session they do not know. Nothing of the request has left.
            if isinstance(error, TlsFailedError) and not resumes:
                raise
            if tls is not None:
                tls.forget_session()
        return await self._try_all(attempt, addresses, make_protocol)

    async def _try_all(
        self, attempt: "_Attempt", addresses: Sequence[Address], make_protocol: Callable[[socket.socket], P]
    ) -> P:
        failure: GatewayError | None = None
        origin = attempt.origin
        now = asyncio.get_running_loop().time
        for position, (family, address) in enumerate(addresses):
            try:
                self._check(origin, address[0], address[1])
                # Else one that swallows packets, often IPv6, would use up the time of all behind it.
                async with asyncio.timeout((attempt.until - now()) / (len(addresses) - position)):
                    return await self._connect_to(attempt, family, address, make_protocol)
            except TimeoutError:
                failure = _took_too_long(origin, attempt.timeout_s)
            except ssl.SSLError as error:
                failure = _tls_failed(origin, error)
            except OSError as error:
                reason = error.strerror or type(error).__name__
                failure = ConnectFailedError(f"cannot connect to {origin}: {reason}")
            except EgressRefusedError as error:
                failure = error
        assert failure is not None
        raise failure

    async def _addresses(self, origin: Origin) -> Sequence[Address]:
        try:
            return _literal(origin) or await self._resolver.resolve(origin.host, origin.port)
        except (OSError, UnicodeError):
            raise ConnectFailedError(f"the name {origin.host} cannot be resolved; check the host_url") from None

    async def _connect_to(
        self,
        attempt: "_Attempt",
        family: int,
        address: tuple[str, int] | tuple[str, int, int, int],
        make_protocol: Callable[[socket.socket], P],
    ) -> P:
        loop, origin = asyncio.get_running_loop(), attempt.origin
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, address)
            # Once more, where it led: the unspecified address leads to this machine's own.
            peer = sock.getpeername()
            self._check(origin, peer[0], peer[1])
            if address[1] in self._own_ports and sock.getsockname()[0] == peer[0]:
                # Bound to every address: a peer that has our own address is this machine.
                raise _is_itself(origin)
            _, protocol = await loop.create_connection(
                lambda: make_protocol(sock),
                sock=sock,
                ssl=attempt.tls,
                server_hostname=origin.host if origin.is_tls else None,
            )
        except BaseException:
            sock.close()
            raise
        return protocol

    def _check(self, origin: Origin, address: str, port: int) -> None:
        given = ipaddress.ip_address(address)
        ip = meant(given)
        if (ip, port) in self._own or (port in self._own_ports and (ip.is_loopback or ip.is_unspecified)):
            raise _is_itself(origin)
        if refusal := self._allow.refusal(given, origin.host):
            raise EgressRefusedError(f"{origin} must not be called: {refusal}")


class _Attempt(NamedTuple):
    """One connect: where to, and until when on the event loop's clock."""

    origin: Origin
    tls: ResumingContext | None
    timeout_s: float
    until: float


def _tls_failed(origin: Origin, error: ssl.SSLError) -> TlsFailedError:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return TlsFailedError(f"TLS to {origin} failed: {error.reason or 'handshake failed'}")
    advice = (
        "a provider behind a CA of its own names it in options.ca_secret_name"
        if origin.ca is None
        else "only the CA in the secret of the provider's options.ca_secret_name is believed"
    )
    return TlsFailedError(f"TLS to {origin} failed: {error.verify_message}; {advice}")


def _took_too_long(origin: Origin, timeout_s: float) -> ConnectTimeoutError:
    return ConnectTimeoutError(f"no connection to {origin} within {timeout_s:g} s; is the provider's host_url right?")


def _is_itself(origin: Origin) -> EgressRefusedError:
    return EgressRefusedError(f"{origin} is this gateway itself; a provider's host_url must name another server")


def _literal(origin: Origin) -> list[Address]:
    """Return the address that the origin names itself, if it does."""
    try:
        ip = ipaddress.ip_address(origin.host)
    except ValueError:
        return []
    if ip.version == 6:
        return [(socket.AF_INET6, (origin.host, origin.port, 0, 0))]
    return [(socket.AF_INET, (origin.host, origin.port))]

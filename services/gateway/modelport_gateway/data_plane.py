"""A request's way through the gateway, in order: parse, route, admit, pick, prepare, send, relay, account.

`parse/connection.py` cuts a request and opens an exchange here. If everything is known, the body is complete and a
connection to the provider stands idle, the request is on its way before `begin` returns, without a task. Anything
else gets a task, which ends when the request has been handed to a connection: from there on bytes move by callbacks.
"""

import asyncio
import ssl
from collections.abc import Collection, Iterable

import structlog

from modelport_contracts.egress import EgressAllow
from modelport_contracts.records import record_key
from modelport_gateway.account.access_log import AccessLog, safe_path
from modelport_gateway.account.clock import Clock, Ticker
from modelport_gateway.account.metrics import DataPlaneMetrics, PlaneState
from modelport_gateway.admit.admission import Limits, admit
from modelport_gateway.admit.places import Places
from modelport_gateway.admit.timeouts import Timeouts
from modelport_gateway.errors import (
    BadRequestError,
    CaUnusableError,
    DrainingError,
    GatewayError,
    SecretMissingError,
    SecretUnreadableError,
    TableAwayHereError,
    UpstreamClosedError,
)
from modelport_gateway.parse.connection import ClientConnection, connection_class
from modelport_gateway.parse.hangup import HangupWatch
from modelport_gateway.parse.head import RequestHead
from modelport_gateway.parse.path import (
    OPENAI,
    PROVIDER,
    Call,
    RouteKind,
    RouteName,
    decode_tail,
    listing_request,
    parse_route_part,
)
from modelport_gateway.prepare.body import named_model
from modelport_gateway.prepare.outgoing import needs_whole_body, outgoing, read_body, reads_body
from modelport_gateway.prepare.secrets import SecretValues, marker_version
from modelport_gateway.prepare.splice import JsonObject
from modelport_gateway.prepare.target import Target
from modelport_gateway.relay.context import Context
from modelport_gateway.relay.cors import is_preflight, preflight_lines
from modelport_gateway.relay.exchange import Exchange
from modelport_gateway.route.listing import Listings
from modelport_gateway.route.lookup import Gathered, Known, UnknownHereError
from modelport_gateway.route.resolve import find_target, min_revision
from modelport_gateway.route.table import RoutingTable
from modelport_gateway.send.connection import UpstreamConnection
from modelport_gateway.send.egress import Egress
from modelport_gateway.send.pool import Pool, PoolLimits
from modelport_gateway.send.resolver import Resolver
from modelport_gateway.send.tls import ClientTls
from modelport_routing.errors import TableAwayError
from modelport_routing.lease import Lease

log = structlog.get_logger()

_REMEMBERED_ROUTES = 4096
_SWEEP_EVERY_S = 1.0


class DataPlane:
    """Everything between a client's connection and a provider's.

    `gateway_id` signs requests (CDN-Loop), so that a loop is noticed. `own_addresses` are refused as destinations, and
    so is what is not public unless `egress_allow` has it.
    """

    def __init__(
        self,
        *,
        table: RoutingTable,
        secrets: SecretValues,
        gateway_id: str,
        lease: Lease | None = None,
        own_addresses: Iterable[tuple[str, int]],
        egress_allow: EgressAllow,
        access_log: AccessLog,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        pool_limits: PoolLimits | None = None,
        cors_origins: Collection[str] = (),
        tls: ssl.SSLContext | None = None,
        resolver: Resolver | None = None,
        clock: Clock | None = None,
        tick_s: float = 0.1,
    ) -> None:
        self._table = table
        self._known = Known(table)
        self._listings = Listings(table)
        self._lease = lease or Lease.unlimited()
        self._secrets = secrets
        self._clock = clock or Clock()
        self._token = f"modelport-{gateway_id}".encode()
        self._loop_line = b"CDN-Loop: " + self._token
        egress = Egress(own_addresses, egress_allow, tls=ClientTls(tls), resolver=resolver)
        self.metrics = DataPlaneMetrics()
        self.context = Context(
            self._clock, access_log, timeouts or Timeouts(), limits or Limits(), cors_origins, self._retry, self.metrics
        )
        self._pool = Pool(egress, lambda: self._clock.now, self.context.cork, pool_limits)
        self.connections: set[ClientConnection] = set()
        self.hangups = HangupWatch()
        self.is_serving = True
        """False: inference is refused with 503 (joining, or left)."""
        self._routes: dict[bytes, RouteName] = {}
        self._places = Places(table, self._loop_line)
        self._ticker = Ticker(tick_s, self._tick)
        self._swept_at = 0.0

    # Life

    def start(self) -> None:
        """Begin to keep time; needs the running event loop."""
        self._ticker.start()
        self.hangups.start()

    def begin_drain(self) -> None:
        """From now on every reply closes its connection, so that clients come back somewhere else."""
        self.context.draining = True
        for connection in self.connections:
            connection.drain()

    async def close(self) -> None:
        """End what is left, streams with an error event, and close all connections to providers."""
        self.is_serving = False
        for exchange in list(self.context.active):
            exchange.fail(DrainingError("this gateway is shutting down; try again"))
        self._ticker.stop()
        self.hangups.close()
        self._places.close()
        self.context.cork.flush()
        self._pool.close()
        self.context.access_log.flush()

    def state(self) -> PlaneState:
        """Return what stands now; a scrape asks from a thread of its own."""
        pool = self._pool.state()
        return PlaneState(len(self.context.active), len(self.connections), *pool, self._secrets.held)

    def _tick(self) -> None:
        clock = self._clock
        clock.tick()
        self.context.access_log.flush()
        for exchange in list(self.context.active):
            exchange.check_time(clock.now)
        if clock.now - self._swept_at >= _SWEEP_EVERY_S:
            self._swept_at = clock.now
            self._pool.sweep()
        self._places.tick()
        for connection in list(self.connections):
            connection.check_time(clock.now)

    # parse and admit

    def read_call(self, head: RequestHead, route_part: bytes, tail: bytes, query: bytes) -> Call:
        """Read what an inference path asks for. Raises GatewayError."""
        route = self._routes.get(route_part)
        if route is None:
            if len(self._routes) >= _REMEMBERED_ROUTES:
                self._routes.clear()
            route = self._routes[route_part] = parse_route_part(route_part)
        listing = listing_request(head.method, tail, query) if route.kind is OPENAI else None
        tail, query = decode_tail(tail, query)
        return Call(route, tail, query, listing=listing, logged_path=safe_path(route.path + tail))

    def begin(self, exchange: Exchange) -> None:
        """Serve a request: at once if nothing has to be waited for, else in a task."""
        head = exchange.head
        try:
            if self.context.cors_origins and is_preflight(head):
                exchange.answer(204, b"", preflight_lines(self.context.cors_origins, head))
                return
            admit(head, self._token, is_serving=self.is_serving)
            is_simple = exchange.upload.done and exchange.call.listing is None and head.min_revision is None
            # The exact clock: after a pause the first thing that runs may be this, not the ticker.
            is_fresh = exchange.started_at <= self._lease.until or self._lease.goes_without()
            if is_simple and is_fresh and self._send_now(exchange):
                return
        except Exception as error:
            exchange.fail(_failure(exchange, error))
            return
        exchange.task = asyncio.get_running_loop().create_task(self._serve(exchange))

    def _send_now(self, exchange: Exchange) -> bool:
        """Send a complete request if all it needs is here. Raises GatewayError."""
        head, kind = exchange.head, exchange.call.route.kind
        parsed = read_body(kind, exchange.upload.body()) if reads_body(kind, head) else None
        try:
            target, served_id = find_target(self._known, exchange.call.route, _model_of(kind, parsed), self._loop_line)
        except UnknownHereError:
            return False
        if not self._has_credential(target):
            return False
        if target.options is not None and not (self._has_ca(target) and self._places.take(exchange, target)):
            return False
        connection = self._pool.origin(target.origin).take()
        if connection is None:
            return False
        self._send(exchange, target, connection, parsed, served_id)
        return True

    # The way of a request that has to wait for something

    async def _serve(self, exchange: Exchange) -> None:
        try:
            if exchange.started_at > self._lease.until and not self._lease.is_away and not await self._lease.renew():
                self._lease.goes_without()
            if exchange.call.listing is not None:
                body = await self._listing(exchange.call.route.workspace, exchange.call.listing)
                exchange.task = None
                exchange.answer(200, body)
            else:
                await self._send_later(exchange)
                exchange.task = None
        except asyncio.CancelledError:
            exchange.task = None
            raise
        except Exception as error:
            exchange.task = None
            exchange.fail(_failure(exchange, error))

    async def _listing(self, workspace: str, model_id: str) -> bytes:
        listings = self._listings
        return await (listings.show_model(workspace, model_id) if model_id else listings.list_models(workspace))

    async def _send_later(self, exchange: Exchange) -> None:
        head, kind = exchange.head, exchange.call.route.kind
        at_least = min_revision(head.min_revision)
        if at_least is None:
            raise BadRequestError("x-modelport-min-revision is not a revision of the models service")
        parsed = read_body(kind, await self._whole_body(exchange)) if reads_body(kind, head) else None
        model = _model_of(kind, parsed)
        while True:
            target, served_id = await self._find(exchange, model, at_least)
            exchange.target = target
            # Whatever has to be waited for, what was found before may no longer hold afterwards.
            if parsed is None and not exchange.upload.done and needs_whole_body(head, target):
                await self._whole_body(exchange)
            elif self._places.take(exchange, target):
                break
            else:
                await self._place(exchange, target)
        # After the body: a client may take its time, and the secret may be deleted meanwhile.
        await self._get_ca(target)
        await self._get_credential(target)
        connection = self._pool.origin(target.origin).take() or await self._fresh(exchange, target)
        self._send(exchange, target, connection, parsed, served_id)

    async def _fresh(self, exchange: Exchange, target: Target) -> UpstreamConnection:
        """Connect, and have the credential that counts then; once more if the provider closes before it was sent."""
        for _ in range(2):
            connection = await self._connect(exchange, target)
            try:
                if not self._has_credential(target):
                    await self._get_credential(target)  # it was rotated or deleted meanwhile
            except BaseException:
                connection.discard()
                raise
            if not connection.transport.is_closing():
                return connection
            connection.discard()
        raise UpstreamClosedError(f"{target.base.origin} closed the connection at once")

    async def _whole_body(self, exchange: Exchange) -> bytes:
        since = self._clock.monotonic()
        try:
            return await exchange.whole_body()
        finally:
            exchange.waiting().other_s += self._clock.monotonic() - since

    async def _place(self, exchange: Exchange, target: Target) -> None:
        since = self._clock.monotonic()
        try:
            await self._places.wait(exchange, target)
        finally:
            exchange.waiting().queue_s += self._clock.monotonic() - since

    async def _connect(self, exchange: Exchange, target: Target) -> UpstreamConnection:
        since = self._clock.monotonic()
        try:
            timeouts = self.context.timeouts
            if target.options is not None:
                timeouts = target.options.timeouts(timeouts)
            return await self._pool.connect(target.origin, timeouts.connect_s)
        finally:
            exchange.waiting().connect_s += self._clock.monotonic() - since

    async def _find(self, exchange: Exchange, model: str | None, at_least: int) -> tuple[Target, bytes | None]:
        gathered = Gathered(self._table)
        route = exchange.call.route
        if at_least and route.kind is PROVIDER:
            # The near cache may know an older revision, which is not what was asked for.
            key = record_key("provider", route.workspace, route.name)
            await gathered.ask(UnknownHereError(key), min_revision=at_least)
        while True:
            try:
                return find_target(gathered, route, model, self._loop_line, at_least)
            except UnknownHereError as unknown:
                exchange.waiting().asked_table = True
                await gathered.ask(unknown)

    def _retry(self, exchange: Exchange, data: bytes) -> None:
        exchange.task = asyncio.get_running_loop().create_task(self._send_again(exchange, data))

    async def _send_again(self, exchange: Exchange, data: bytes) -> None:
        target = exchange.target
        assert target is not None
        try:
            await self._get_ca(target)  # it may have been rotated or deleted, too
            connection = await self._connect(exchange, target)
            try:
                # `data` holds the first attempt's credential, and connecting took its time. An old value serves on
                # while the vault is away; one that was rotated or deleted does not.
                await self._get_credential(target)
                if exchange.secret_version != target.secret_version or connection.transport.is_closing():
                    raise UpstreamClosedError(f"{target.base.origin} closed the connection before it answered")
            except BaseException:
                connection.discard()
                raise
        except asyncio.CancelledError:
            exchange.task = None
            raise
        except Exception as error:
            exchange.task = None
            exchange.fail(_failure(exchange, error))
            return
        exchange.task = None
        exchange.send(connection, data)

    # prepare and send

    def _send(
        self,
        exchange: Exchange,
        target: Target,
        connection: UpstreamConnection,
        parsed: JsonObject | None,
        served_id: bytes | None,
    ) -> None:
        """Put the request together and send it; nothing is awaited between the credential's check and here."""
        exchange.target = target
        exchange.secret_version = target.secret_version
        if target.secret_version < 0 and target.secret_key is not None:
            connection.discard()
            raise SecretMissingError(f"the credential of provider {target.label} was deleted meanwhile; try again")
        try:
            request = outgoing(
                exchange.head,
                target,
                exchange.call,
                parsed=parsed,
                served_id=served_id,
                body=exchange.upload.body() if exchange.upload.done else None,
            )
        except GatewayError:
            connection.discard()
            raise
        if request.streams:
            exchange.stream(connection, request.data)
        else:
            exchange.send(connection, request.data)

    def _has_credential(self, target: Target) -> bool:
        """Say whether the target's header block holds what its secret's marker allows."""
        if target.secret_key is None:
            return True
        marker = self._table.peek(target.secret_key)
        return marker is not None and marker.present and marker_version(marker) == target.secret_version

    async def _get_credential(self, target: Target) -> None:
        if target.secret_name is None or self._has_credential(target):
            return
        try:
            secret = await self._secrets.get(target.workspace, target.secret_name)
        except SecretMissingError:
            target.drop_secret()
            raise
        if secret.version != target.secret_version:
            target.set_secret(secret.value, secret.version)
            self._secrets.given_to(target.workspace, target.secret_name, target)

    def _has_ca(self, target: Target) -> bool:
        """Say whether the CA that the provider names, if any, is the one that its secret's marker allows."""
        options = target.options
        if options is None or options.ca is None:
            return True
        marker = self._table.peek(options.ca.secret_key)
        return marker is not None and marker.present and marker_version(marker) == options.ca.secret_version

    async def _get_ca(self, target: Target) -> None:
        options = target.options
        if options is None or options.ca is None or self._has_ca(target):
            return
        name = options.ca.secret_name
        try:
            secret = await self._secrets.get(target.workspace, name)
        except (SecretMissingError, SecretUnreadableError) as error:
            options.ca.drop_secret()
            reason = "does not exist" if isinstance(error, SecretMissingError) else "cannot be opened"
            raise CaUnusableError(
                f"secret {target.workspace}/{name}, the CA of provider {target.label} (options.ca_secret_name), "
                f"{reason}; store it again or change the provider"
            ) from None
        if secret.version != options.ca.secret_version:
            target.set_ca(secret.value, secret.version)
            self._secrets.given_to(target.workspace, name, options.ca)


def make_protocol(data_plane: DataPlane) -> type[ClientConnection]:
    """Return the protocol class for `uvicorn.Config(http=...)`."""
    return connection_class(data_plane)


def _failure(exchange: Exchange, error: Exception) -> GatewayError:
    """Say what the client is told. What nobody foresaw is logged; the client learns that it is the gateway's."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, TableAwayError):
        return TableAwayHereError(str(error) or "the routing table is away; try again")
    log.exception("a request failed in the gateway", route=exchange.call.route.path.decode())
    return GatewayError("the gateway failed; its log says why")


def _model_of(kind: RouteKind, parsed: JsonObject | None) -> str | None:
    if kind is not OPENAI:
        return None
    assert parsed is not None
    return named_model(parsed)

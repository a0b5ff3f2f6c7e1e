"""The values of secrets, held no longer than their markers allow (docs/propagation.md, rule 23).

The routing table holds a marker per secret: that it exists, and its version. A value is fetched from the secrets
service once per version and kept here; the request path looks at the marker only.
"""

import asyncio
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import quote

import structlog

from modelport_contracts.errors import REVISION_HEADER
from modelport_contracts.records import SecretRecord, record_key
from modelport_gateway.errors import GatewayError, SecretMissingError, SecretsAwayError, SecretUnreadableError
from modelport_gateway.route.table import Entry, RoutingTable
from modelport_kit.redaction import held as held_values
from modelport_kit.service_get import NoAnswerError, Reply, ServiceGet
from modelport_routing.errors import TableAwayError

log = structlog.get_logger()

_ATTEMPTS: Final = 3
_PAUSE_S: Final = 0.05
_BACKOFF_S: Final = 1.0
"""After a failed fetch a value of an older version is served this long before the next try."""
_AHEAD_S: Final = 5.0
"""A value newer than its marker is served this long before it is fetched again: changes are late then."""
SWEEP_EVERY_S: Final = 5.0
_NO_VALUE: Final = "answered with something else than a value"


@dataclass(frozen=True, slots=True, weakref_slot=True)
class SecretValue:
    """A value and the version it belongs to. Its repr shows the version only; no log shows the value."""

    value: str
    version: int

    def __post_init__(self) -> None:
        held_values.hold(self, self.value)

    def __repr__(self) -> str:
        return f"SecretValue(version={self.version})"


class SecretsUnreachableError(Exception):
    """The secrets service does not answer, or not in the way it should; the text continues its name."""


class SecretsClient:
    """Reveals one secret. `secrets` asks the secrets service with the gateway's own token."""

    def __init__(self, secrets: ServiceGet, timeout_s: float = 5.0) -> None:
        self._secrets = secrets
        self._timeout_s = timeout_s

    async def reveal(self, workspace: str, name: str) -> SecretValue | None:
        """Fetch a value, or None where there is no such secret.

        Raises SecretsUnreachableError, or SecretUnreadableError where the service has it and cannot open it.
        """
        path = f"/apis/secrets/v2/workspaces/{quote(workspace, safe='')}/secrets/{quote(name, safe='')}/access"
        try:
            reply = await self._secrets.get(path, self._timeout_s)
        except NoAnswerError as error:
            raise SecretsUnreachableError(f"does not answer ({error})") from None
        if reply.status == 404:
            return None
        if _code(reply) == SecretUnreadableError.code:
            raise SecretUnreadableError(
                f"the secrets service cannot open secret {workspace}/{name} with the key it has; store the value "
                "again, or start the service with the former key"
            )
        if reply.status in (401, 403):
            raise SecretsUnreachableError(
                f"refuses this gateway's service token (status {reply.status}); check MODELPORT_SERVICE_TOKEN_FILE"
            )
        if reply.status != 200:
            raise SecretsUnreachableError(f"answered with status {reply.status}")
        try:
            value = reply.json()["value"]
            version = int((reply.header(REVISION_HEADER) or "").rpartition(".")[2])
        except (ValueError, KeyError, TypeError):
            raise SecretsUnreachableError(_NO_VALUE) from None
        if not isinstance(value, str):
            raise SecretsUnreachableError(_NO_VALUE)
        return SecretValue(value, version)


def _code(reply: Reply) -> str:
    if reply.status < 300:
        return ""
    try:
        return str(reply.json()["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return ""


class Holder(Protocol):
    """Who was given a value and forgets it when told: a target."""

    def drop_secret(self) -> None: ...


class _Held:
    """What is known of one secret."""

    __slots__ = ("ahead_of", "ahead_until", "fetch", "holders", "retry_at", "superseded_at", "value", "why")

    def __init__(self) -> None:
        self.value: SecretValue | None = None
        self.holders: weakref.WeakSet[Holder] = weakref.WeakSet()
        self.ahead_of = -1
        """The marker's version for which a newer value was fetched; it serves for that marker until `ahead_until`."""
        self.ahead_until = 0.0
        self.fetch: asyncio.Task[SecretValue | None] | None = None
        self.superseded_at: float | None = None
        """When a newer version than the held one was first seen and could not be fetched."""
        self.retry_at = 0.0
        self.why = ""
        """What the secrets service did at the last fetch that brought nothing."""


class SecretValues:
    """Values by `secret/<workspace>/<name>`.

    `clock` is monotonic, in seconds. `grace_s`: how long a value serves after a rotation while the secrets service
    is away. After a deletion it never does.
    """

    def __init__(
        self,
        table: RoutingTable,
        client: SecretsClient,
        *,
        clock: Callable[[], float],
        grace_s: float = 300.0,
    ) -> None:
        self._table = table
        self._client = client
        self._clock = clock
        self._grace_s = grace_s
        self._held: dict[str, _Held] = {}
        self.changes = 0
        """How often a value came or went."""

    @property
    def held(self) -> int:
        """How many values are held now; may be asked from another thread."""
        return sum(held.value is not None for held in list(self._held.values()))

    async def get(self, workspace: str, name: str) -> SecretValue:
        """Return the value that the marker allows.

        Raises SecretMissingError, SecretUnreadableError, SecretsAwayError, and what the table's `get` raises.
        """
        key = record_key("secret", workspace, name)
        marker = await self._table.get(key)
        label = f"{workspace}/{name}"
        if not marker.present:
            self._drop(key)
            raise _missing(label)
        version = marker_version(marker)
        held = self._held.setdefault(key, _Held())
        # Not just "or newer": a vault restored from a backup counts its revisions from an earlier one again.
        if held.value is not None and (
            held.value.version == version or (held.ahead_of == version and self._clock() < held.ahead_until)
        ):
            return held.value
        value = await self._fetch(held, key, workspace, name, version)
        # Fetching takes its time, and the secret may be gone by now; what a verified marker says is said at once.
        if not (await self._table.get(key)).present:
            self._drop(key)
            raise _missing(label)
        return value

    def values(self) -> dict[str, SecretValue]:
        """Return the values that are held, by record key."""
        return {key: held.value for key, held in self._held.items() if held.value is not None}

    def adopt(self, values: Mapping[str, SecretValue]) -> None:
        """Take over values of another process: each serves as far as its marker allows."""
        for key, value in values.items():
            held = self._held.setdefault(key, _Held())
            if held.value is None:
                held.value = value
                self.changes += 1

    def forget(self, keys: Iterable[str]) -> None:
        """Forget values whose markers are not verified."""
        for key in keys:
            if self._table.peek(key) is None:
                self._drop(key)

    def given_to(self, workspace: str, name: str, holder: Holder) -> None:
        """Note who keeps a value that `get` returned just now."""
        held = self._held.get(record_key("secret", workspace, name))
        if held is not None:
            held.holders.add(holder)

    async def sweep(self) -> None:
        """Forget the values of secrets that are gone, here and with their holders, also if nobody asks any more."""
        doubted = []
        for key in list(self._held):
            marker = self._table.peek(key)
            if marker is None:
                doubted.append(key)
            elif not marker.present:
                self._drop(key)
        for key in doubted:
            try:
                if not (await self._table.get(key)).present:
                    self._drop(key)
            except TableAwayError:
                return  # not proven gone

    async def run_sweeps(self, swept: Callable[[], None] = lambda: None) -> None:
        """Sweep every few seconds until cancelled; `swept` is called after each time."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            await self.sweep()
            swept()

    async def _fetch(self, held: _Held, key: str, workspace: str, name: str, version: int) -> SecretValue:
        label = f"{workspace}/{name}"
        if self._clock() < held.retry_at:
            return self._older(held, label, held.why)
        held.why = "has no value yet that is as new as the last change"
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_PAUSE_S)
            try:
                value = await self._single_flight(held, workspace, name)
            except SecretsUnreachableError as error:
                held.why = str(error)
                break
            if value is None:
                self._drop(key)
                raise _missing(label)
            if value.version >= version:
                if self._held.get(key) is held:  # else it was deleted meanwhile
                    held.value, held.superseded_at, held.retry_at = value, None, 0.0
                    self.changes += 1
                    held.ahead_of, held.ahead_until = version, self._clock() + _AHEAD_S
                return value
        held.retry_at = self._clock() + (_BACKOFF_S if held.value is not None else 0.0)
        return self._older(held, label, held.why)

    async def _single_flight(self, held: _Held, workspace: str, name: str) -> SecretValue | None:
        if held.fetch is None:
            held.fetch = asyncio.ensure_future(self._client.reveal(workspace, name))
            held.fetch.add_done_callback(lambda task: _finished(held, task))
        # Shielded: a client that leaves must not fail the others that wait for the same value.
        return await asyncio.shield(held.fetch)

    def _older(self, held: _Held, label: str, why: str) -> SecretValue:
        now = self._clock()
        if held.value is not None:
            if held.superseded_at is None:
                held.superseded_at = now
            if now - held.superseded_at < self._grace_s:
                return held.value
        raise SecretsAwayError(f"the value of secret {label} is not known here: the secrets service {why}; try again")

    def _drop(self, key: str) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self.changes += 1
            held.value = None
            for holder in list(held.holders):
                holder.drop_secret()


def marker_version(marker: Entry) -> int:
    """Return the version that a present marker names; it is the record's revision."""
    if not isinstance(marker.compiled, int):
        marker.compiled = SecretRecord.model_validate_json(marker.payload or b"").version
    return marker.compiled


def _finished(held: _Held, task: "asyncio.Task[SecretValue | None]") -> None:
    held.fetch = None
    if not task.cancelled():
        task.exception()  # fetched, so that an abandoned failure is not reported as never retrieved


def _missing(label: str) -> GatewayError:
    return SecretMissingError(
        f"the provider names secret {label}, which does not exist; create it or change the provider"
    )

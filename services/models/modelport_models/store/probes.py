"""What discovery reads and writes: which providers are due, and what their probes said."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from modelport_contracts.records import record_key
from modelport_kit.database.engine import Database
from modelport_models.domain import audited
from modelport_models.domain.records import provider_record
from modelport_models.domain.verdict import ProbeState
from modelport_models.store.catalog import replace_served
from modelport_models.store.common import Row, all_rows, chunks, is_among, lock_workspaces
from modelport_models.tables import PROVIDER, SERVED


@dataclass(frozen=True, slots=True)
class DueProvider:
    """A provider whose probe is claimed by this process."""

    id: str
    workspace: str
    name: str
    generation: int
    revision: int
    api_key_secret_name: str | None
    enabled_models: list[str] | None
    state: ProbeState

    @property
    def secret(self) -> str | None:
        """The secret's full name."""
        return f"{self.workspace}/{self.api_key_secret_name}" if self.api_key_secret_name else None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What to store for a probed provider; None, for state or entities, leaves what is there as it is."""

    provider: DueProvider
    state: ProbeState | None
    entities: Mapping[str, str] | None
    next_probe_at: float


class ProbeStore:
    """Claims are short updates; no transaction is held during a probe (docs/propagation.md, rule 26)."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def claim_due(
        self,
        now: float,
        claim_s: float,
        limit: int,
        running: Iterable[tuple[str, int]] = (),
        *,
        horizon_s: float = math.inf,
    ) -> list[DueProvider]:
        """Claim providers whose probe is due, for this long; `running` has (id, generation) of those not to claim.

        `now` is a wall clock's. What is to come later than `horizon_s` from now, or is claimed for longer than
        anybody claims, was written before the clock was set back: it counts as due, or as not claimed.
        """
        due = and_(
            or_(PROVIDER.c.next_probe_at <= now, PROVIDER.c.next_probe_at > now + horizon_s),
            or_(PROVIDER.c.probe_claimed_until <= now, PROVIDER.c.probe_claimed_until > now + 2 * claim_s),
        )
        if under_way := list(running):
            due = and_(due, tuple_(PROVIDER.c.id, PROVIDER.c.generation).not_in(under_way))
        async with self._database.read() as connection:
            if (await connection.execute(select(PROVIDER.c.id).where(due).limit(1))).first() is None:
                return []
        picked = select(PROVIDER.c.id).where(due).order_by(PROVIDER.c.next_probe_at).limit(limit)
        picked = picked.with_for_update(skip_locked=True)
        async with self._database.write() as write:
            result = await write.execute(
                update(PROVIDER)
                .where(PROVIDER.c.id.in_(picked))
                .values(probe_claimed_until=now + claim_s)
                .returning(PROVIDER)
            )
            return [_due(row) for row in all_rows(result)]

    async def renew_claims(self, now: float, claim_s: float, running: Iterable[tuple[str, int]]) -> None:
        """Claim for longer what is being probed, by (id, generation): what changed meanwhile is not this probe's.

        What is locked is being changed or stored, and left out: waiting for one row while holding others could end in
        a deadlock.
        """
        async with self._database.write() as write:
            for chunk in chunks(sorted(running)):
                probed = select(PROVIDER.c.id).where(is_among(PROVIDER.c.id, PROVIDER.c.generation, chunk))
                await write.execute(
                    update(PROVIDER)
                    .where(PROVIDER.c.id.in_(probed.with_for_update(skip_locked=True)))
                    .values(probe_claimed_until=now + claim_s)
                )

    async def probe_soon(self, workspace: str, secret_name: str) -> int:
        """Make due at once the providers that use a secret; a probe under way with the old value no longer counts."""
        is_ca = PROVIDER.c.options["ca_secret_name"].as_string() == secret_name
        uses = and_(PROVIDER.c.workspace == workspace, or_(PROVIDER.c.api_key_secret_name == secret_name, is_ca))
        async with self._database.write() as write:
            await lock_workspaces(write.connection, [workspace])
            result = await write.execute(
                update(PROVIDER)
                .where(uses)
                .values(next_probe_at=0, probe_claimed_until=0, generation=PROVIDER.c.generation + 1)
            )
        return result.rowcount

    async def existing_entities(self, provider_id: str) -> dict[str, str]:
        """Return a provider's served ids with their entity names."""
        statement = select(SERVED.c.served_id, SERVED.c.entity).where(SERVED.c.provider_id == provider_id)
        async with self._database.read() as connection:
            return {row.served_id: row.entity for row in await connection.execute(statement)}

    async def entities_elsewhere(self, provider_id: str, workspace: str, names: Iterable[str]) -> dict[str, set[str]]:
        """Return which of these entities other providers of the workspace serve, and under which ids."""
        async with self._database.read() as connection:
            return await _elsewhere(connection, provider_id, workspace, names)

    async def store(self, results: list[ProbeResult]) -> int:
        """Store results in one transaction; returns how many providers changed.

        A result counts only for the generation that was probed, and makes a revision only if it changes something.
        """
        changed = 0
        ids = [result.provider.id for result in results]
        async with self._database.write() as write:
            await lock_workspaces(write.connection, (result.provider.workspace for result in results))
            rows = {row["id"]: row for row in (
                await write.execute(select(PROVIDER).where(PROVIDER.c.id.in_(ids)))).mappings()}  # fmt: skip
            for result in results:
                row = rows.get(result.provider.id)
                if row is None or row["generation"] != result.provider.generation:
                    continue
                if result.entities and await _is_taken(write.connection, dict(row), result.entities):
                    # by another provider since the names were chosen; the next probe chooses anew
                    again = {"next_probe_at": 0, "probe_claimed_until": 0}
                    await write.execute(update(PROVIDER).where(PROVIDER.c.id == row["id"]).values(again))
                    continue
                values: dict[str, object] = {"next_probe_at": result.next_probe_at, "probe_claimed_until": 0}
                visible: dict[str, str] = {}
                if result.state is not None:
                    values |= {"probe_failures": result.state.failures, "failing_since": result.state.failing_since}
                    visible = {"status": str(result.state.status), "status_message": result.state.status_message}
                is_new = any(row[name] != value for name, value in visible.items())
                if is_new:
                    values |= visible | {"updated_at": self._now()}
                await write.execute(update(PROVIDER).where(PROVIDER.c.id == row["id"]).values(values))
                serves = False
                if result.entities is not None:
                    serves = await replace_served(write, row["id"], row["workspace"], result.entities, self._now())
                if event := audited.probed(dict(row), visible.get("status", row["status"])):
                    write.tell(event)
                if row["status"] != visible.get("status", row["status"]):
                    rendered = provider_record({**row, **values})
                    key = record_key("provider", row["workspace"], row["name"])
                    write.put(key, *rendered, row=(PROVIDER, row["id"]))
                changed += is_new or serves
        return changed


async def _elsewhere(
    connection: AsyncConnection, provider_id: str, workspace: str, names: Iterable[str]
) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for chunk in chunks(sorted(set(names))):
        statement = select(SERVED.c.entity, SERVED.c.served_id).where(
            SERVED.c.workspace == workspace, SERVED.c.entity.in_(chunk), SERVED.c.provider_id != provider_id
        )
        for entity, served_id in await connection.execute(statement):
            found.setdefault(entity, set()).add(served_id)
    return found


async def _is_taken(connection: AsyncConnection, row: Row, entities: Mapping[str, str]) -> bool:
    """Say whether a name that is new to this provider is only other ids' in the workspace."""
    statement = select(SERVED.c.served_id, SERVED.c.entity).where(SERVED.c.provider_id == row["id"])
    current = {one.served_id: one.entity for one in await connection.execute(statement)}
    new = {entity: served_id for served_id, entity in entities.items() if current.get(served_id) != entity}
    found = await _elsewhere(connection, row["id"], row["workspace"], new)
    return any(new[entity] not in ids for entity, ids in found.items())


def _due(row: Row) -> DueProvider:
    return DueProvider(
        id=row["id"],
        workspace=row["workspace"],
        name=row["name"],
        generation=row["generation"],
        revision=row["revision"],
        api_key_secret_name=row["api_key_secret_name"],
        enabled_models=row["enabled_models"],
        state=ProbeState(row["status"], row["status_message"], row["probe_failures"], row["failing_since"]),
    )

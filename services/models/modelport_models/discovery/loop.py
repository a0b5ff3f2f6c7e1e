"""The discovery loop: claims what is due, probes in two lanes, stores what changed.

A first attempt has 2 s in a wide lane, so that slow and dead providers do not hold up the others; those that miss
it get 10 s in a second lane (docs/propagation.md, rule 26).
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable

import httpx
import structlog

from modelport_contracts.records import Change
from modelport_models.discovery.probe import ProbeTimeoutError, probe
from modelport_models.domain.served import assign_entities, names_to_ask_for
from modelport_models.domain.verdict import (
    MAX_BACKOFF_S,
    Failing,
    Inconclusive,
    Listed,
    NoListing,
    Verdict,
    after_verdict,
)
from modelport_models.store.probes import DueProvider, ProbeResult, ProbeStore

logger = structlog.get_logger(__name__)

FIRST_LANE, FIRST_TIMEOUT_S = 64, 2.0
SECOND_LANE, SECOND_TIMEOUT_S = 64, 10.0
SECOND_QUEUE = 4 * SECOND_LANE
"""May wait for the second lane: 40 s at the most. What misses the first lane while that many wait has failed."""
CLAIM_S = 4.0
"""Shorter than probes may take, so that another process soon takes over from one that was killed; renewed meanwhile."""
RENEW_EVERY_S = 1.0
LOOK_EVERY_S = 0.5
"""Other replicas register providers too; this is how soon their change is noticed where its maker died."""
GATEWAY_RETRIES_S = (0.02, 0.05, 0.1, 0.25, 0.5)
SECRET_PAUSE_S = 0.05
"""Between a secret's change and the probes it leads to. At the change every gateway fetches the new value, and the
secrets service asks this process for its workspace meanwhile: a probe's transactions would hold all of them up. This
is how long 99 of 100 changes may take until every gateway acts on them."""
_BATCH = 100


class Discovery:
    """Keeps probing. `clock` gives Unix seconds, which are stored; `draw` gives 0 to 1 for the jitter."""

    def __init__(
        self,
        store: ProbeStore,
        gateway: httpx.AsyncClient,
        ready_interval_s: float,
        *,
        clock: Callable[[], float] = time.time,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._ready_interval_s = ready_interval_s
        self._clock = clock
        self._draw = draw
        self._wake = asyncio.Event()
        self._in_first = 0
        self._second = asyncio.Semaphore(SECOND_LANE)
        self._results: asyncio.Queue[ProbeResult] = asyncio.Queue()
        self._horizon_s = 2 * max(ready_interval_s, MAX_BACKOFF_S)
        """No probe is planned for later than that, unless the clock was set back since."""
        self._running: dict[tuple[str, int], asyncio.Task[None]] = {}
        """By provider and the generation that is probed."""
        self._waiting = 0
        self._more_due = False

    def look_now(self) -> None:
        """A provider was registered or changed: probe it at once."""
        self._wake.set()

    async def on_secret_change(self, change: Change) -> None:
        """Probe soon the providers that use a secret that was stored, changed or removed."""
        _, workspace, name = change.envelope.key.split("/", 2)
        await asyncio.sleep(SECRET_PAUSE_S)
        if await self._store.probe_soon(workspace, name):
            self.look_now()

    async def run(self, looked: Callable[[], None] = lambda: None) -> None:
        """Probe for ever; `looked` is called whenever it was seen what is due."""
        beside = [asyncio.create_task(self._store_results()), asyncio.create_task(self._renew_claims())]
        try:
            while True:
                self._wake.clear()
                await self._begin_what_is_due()
                looked()
                for task in beside:
                    if task.done():
                        task.result()
                # not wait_for: before Python 3.12 it swallows a cancellation that comes together with the event
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._wake.wait()
        finally:
            pending = [*beside, *self._running.values()]
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def _begin_what_is_due(self) -> None:
        """Claim what the first lane has room for, and nothing that is being probed here as it is now."""
        free = FIRST_LANE - self._in_first
        if free <= 0:
            self._more_due = True
            return
        due = await self._store.claim_due(self._clock(), CLAIM_S, free, self._running, horizon_s=self._horizon_s)
        self._more_due = len(due) == free
        self._in_first += len(due)
        for provider in due:
            under = (provider.id, provider.generation)
            self._running[under] = task = asyncio.create_task(self._probe_one(provider))
            task.add_done_callback(lambda _, under=under: self._running.pop(under))  # type: ignore[misc]

    async def _renew_claims(self) -> None:
        """Keep what is probed for longer than a moment from other processes; without it they would probe it too."""
        before: set[tuple[str, int]] = set()
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            still = before & self._running.keys()
            before = set(self._running)
            if not still:
                continue
            try:
                await self._store.renew_claims(self._clock(), CLAIM_S, still)
            except Exception:
                logger.exception("claims of probes not renewed; other processes may probe the same", probes=len(still))

    def _leave_first(self) -> None:
        self._in_first -= 1
        # not for every single place: a claim is a write
        if self._more_due and self._in_first <= FIRST_LANE // 2:
            self._wake.set()

    async def _probe_one(self, provider: DueProvider) -> None:
        try:
            verdict = await self._in_lanes(provider)
            result = await self._decide(provider, verdict)
        except Exception:
            logger.exception("probe failed", provider=f"{provider.workspace}/{provider.name}")
            return  # the claim runs out and the provider is due again
        await self._results.put(result)

    async def _in_lanes(self, provider: DueProvider) -> Verdict:
        try:
            return await self._past_the_gateway(provider, FIRST_TIMEOUT_S)
        except ProbeTimeoutError:
            timeout_s = FIRST_TIMEOUT_S
        finally:
            self._leave_first()
        if self._waiting < SECOND_QUEUE:
            self._waiting += 1
            try:
                await self._second.acquire()
            finally:
                self._waiting -= 1
            try:
                return await self._past_the_gateway(provider, SECOND_TIMEOUT_S)
            except ProbeTimeoutError:
                timeout_s = SECOND_TIMEOUT_S
            finally:
                self._second.release()
        return Failing(f"the provider did not answer GET v1/models within {timeout_s:g} s")

    async def _past_the_gateway(self, provider: DueProvider, timeout_s: float) -> Verdict:
        """Probe, repeating while it is the gateway that cannot: the change may still be on its way to it.

        All attempts together have `timeout_s` seconds. Raises ProbeTimeoutError.
        """
        ends = time.monotonic() + timeout_s
        verdict = await probe(self._gateway, provider, timeout_s)
        for pause_s in GATEWAY_RETRIES_S:
            left_s = ends - time.monotonic() - pause_s
            if not isinstance(verdict, Inconclusive) or left_s <= 0:
                break
            await asyncio.sleep(pause_s)
            verdict = await probe(self._gateway, provider, left_s)
        return verdict

    async def _decide(self, provider: DueProvider, verdict: Verdict) -> ProbeResult:
        entities = None
        notes: tuple[str, ...] = ()
        if isinstance(verdict, Listed):
            existing = await self._store.existing_entities(provider.id)
            names = names_to_ask_for(verdict.ids, provider.enabled_models, provider.workspace, existing)
            elsewhere = await self._store.entities_elsewhere(provider.id, provider.workspace, names)
            assignment = assign_entities(verdict.ids, provider.enabled_models, provider.workspace, existing, elsewhere)
            entities, notes = assignment.entities, assignment.notes
        elif isinstance(verdict, NoListing):
            entities = {}
        now = self._clock()
        outcome = after_verdict(provider.state, verdict, notes, now, self._ready_interval_s)
        if isinstance(verdict, Inconclusive):
            logger.debug("probe said nothing", provider=f"{provider.workspace}/{provider.name}", reason=verdict.reason)
        jittered = outcome.delay_s * (0.8 + 0.4 * self._draw())
        return ProbeResult(provider, outcome.state, entities, now + jittered)

    async def _store_results(self) -> None:
        while True:
            batch = [await self._results.get()]
            while not self._results.empty() and len(batch) < _BATCH:
                batch.append(self._results.get_nowait())
            if not await self._stored(batch) and len(batch) > 1:
                for result in batch:  # what is wrong with one must not hold up the others
                    await self._stored([result])

    async def _stored(self, batch: list[ProbeResult]) -> bool:
        try:
            await self._store.store(batch)
        except Exception:
            names = ", ".join(f"{result.provider.workspace}/{result.provider.name}" for result in batch)
            logger.exception("probe results not stored; these providers are due again later", providers=names)
            return False
        for result in batch:
            self._log(result)
        return True

    def _log(self, result: ProbeResult) -> None:
        before, after = result.provider.state, result.state
        if after is None:
            return
        if (before.status, before.status_message) != (after.status, after.status_message):
            logger.info(
                "provider probed",
                provider=f"{result.provider.workspace}/{result.provider.name}",
                status=str(after.status),
                message=after.status_message,
                models=None if result.entities is None else len(result.entities),
            )

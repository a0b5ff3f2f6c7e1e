"""When a part that ended is started again: pure decisions, no clock and no process."""

from dataclasses import dataclass, replace

STABLE_S = 10.0
"""A part that was ready for so long has earned a fresh start: what failed before no longer counts."""
CAP_S = 15.0
ATTEMPTS_BEFORE_READY = 3
"""So often a part may end before it was ever ready; then the whole start has failed."""

_SECOND_DELAY_S = 0.25


@dataclass(frozen=True)
class History:
    """What happened to one part so far."""

    been_ready: bool = False
    failures: int = 0
    """How often in a row it ended without having been stable."""
    refusal: str | None = None
    """Why it would end again, where it said so at its last end."""

    def ready(self) -> "History":
        """Note that the part answers."""
        return replace(self, been_ready=True)

    def ended(self, ready_for_s: float, refusal: str | None = None) -> "History":
        """Note that the part ended by itself, `ready_for_s` seconds after it became ready (0: it never did)."""
        failures = 1 if ready_for_s >= STABLE_S else self.failures + 1
        return replace(self, failures=failures, refusal=refusal)

    @property
    def hopeless(self) -> bool:
        """Whether to give up: only before the part has worked once; later on it is tried for ever."""
        return not self.been_ready and (self.refusal is not None or self.failures >= ATTEMPTS_BEFORE_READY)

    @property
    def delay_s(self) -> float:
        """Seconds to wait before the next start: none after a first failure, then doubling up to the cap."""
        if self.failures <= 1:
            return 0.0
        return min(CAP_S, _SECOND_DELAY_S * 2.0 ** min(self.failures - 2, 10))

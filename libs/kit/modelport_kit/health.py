"""Readiness that is reached once and then kept until the process drains (docs/wire.md, 3.7)."""

from collections.abc import Callable, Mapping


class Readiness:
    """Latched readiness: not ready until every condition has been met once, then ready until draining.

    A dependency that goes away later shows in /status and metrics and never takes the process out of service.
    """

    def __init__(self, conditions: Mapping[str, Callable[[], bool]] | None = None) -> None:
        self._conditions = dict(conditions or {})
        self._met: set[str] = set()
        self.draining = False

    def add(self, name: str, condition: Callable[[], bool]) -> None:
        """Add something to wait for; `name` is shown to whoever asks."""
        self._conditions[name] = condition

    def waiting_for(self) -> list[str]:
        """Return what is still waited for; empty means ready."""
        if self.draining:
            return ["draining"]
        for name, condition in self._conditions.items():
            if name not in self._met and condition():
                self._met.add(name)
        return [name for name in self._conditions if name not in self._met]

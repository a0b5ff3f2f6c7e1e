"""What the tests of a folder share: made when the first of them asks, ended when the last one is over.

A platform that nobody asks anything still takes a twentieth of a core, and a fixture of the session lives to its end:
with several of them in each worker that is half a core. pytest has no scope for a folder that is no package.
"""

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, TypeVar

T = TypeVar("T")


class Shared:
    """Things by key. Fixtures of a module's scope take them from here; tests/conftest.py ends them."""

    def __init__(self) -> None:
        self._things: dict[Hashable, Any] = {}
        self._stack = ExitStack()

    def get(self, key: Hashable, make: Callable[[], AbstractContextManager[T]]) -> T:
        """Return the thing; `make` gives it where there is none."""
        if key not in self._things:
            self._things[key] = self._stack.enter_context(make())
        thing: T = self._things[key]
        return thing

    def end(self) -> None:
        """End all of them."""
        self._things.clear()
        self._stack.pop_all().close()

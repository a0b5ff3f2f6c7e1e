"""A histogram as plain numbers. The library's own takes a lock per observation, which a hot path would feel."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

SHORT_S: Final = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Bounds for what takes microseconds to milliseconds."""
LONG_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Bounds for what takes milliseconds to minutes, as answers of models do."""


class Histogram:
    """How many values fell between which bounds, and their sum. Bounds are inclusive upper ones, in ascending order."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        """The last one is of the values beyond all bounds."""
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

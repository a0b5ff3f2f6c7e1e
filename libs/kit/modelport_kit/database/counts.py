"""What a database counts, for metrics."""

import contextlib
import time
from collections.abc import Iterator
from typing import Final, Literal

from modelport_kit.errors import AwayError
from modelport_kit.metrics.histogram import LONG_S, SHORT_S, Histogram

Kind = Literal["read", "write"]
_BOUNDS: Final = tuple(sorted({bound for bound in (*SHORT_S, *LONG_S) if 0.0005 <= bound <= 10}))


class DatabaseCounts:
    """Transactions by kind and outcome, and how long they took."""

    def __init__(self) -> None:
        self.transactions: dict[tuple[str, str], int] = {
            (kind, outcome): 0 for kind in ("read", "write") for outcome in ("committed", "rolled_back", "away")
        }
        self.durations = {kind: Histogram(_BOUNDS) for kind in ("read", "write")}

    @contextlib.contextmanager
    def counting(self, kind: Kind) -> Iterator[None]:
        """Count the transaction that the block is."""
        began = time.perf_counter()
        outcome = "rolled_back"
        try:
            yield
            outcome = "committed"
        except AwayError:
            outcome = "away"
            raise
        finally:
            self.transactions[kind, outcome] += 1
            self.durations[kind].observe(time.perf_counter() - began)

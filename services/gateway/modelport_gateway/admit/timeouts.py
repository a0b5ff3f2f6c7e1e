"""How long a request may take in each of its phases (docs/dataplane.md, Timeouts, retries, pool)."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds. Those of the provider's side can be set for each provider (docs/wire.md, 3.2, options)."""

    connect_s: float = 5.0
    first_byte_s: float = 600.0
    """The default of the official SDKs, after which they would have given up."""
    idle_s: float = 300.0
    total_s: float = math.inf
    """From the request's arrival to the end of its reply."""
    head_s: float = 10.0
    keep_alive_s: float = 75.0
    """uvicorn's 5 s race the connection pools of clients."""
    linger_s: float = 1.0

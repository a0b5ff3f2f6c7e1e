"""The names of the routing table's keys in Redis (docs/propagation.md, The table in Redis).

Everything under `rt:` is the table, and every change of it is pushed to every near cache; what need not be
pushed (locks, how far sources were seen) has another prefix.
"""

from modelport_contracts.records import SOURCE_OF_KIND, SOURCES, Source

PREFIX = "rt:"
EPOCH = "rt:epoch"
"""`<run_id>:<random>`: which filling of the table this is, and on which server it was begun."""
HEAD = "rt:head"
"""The table's own counter; every write takes the next number."""
COMPLETE_PREFIX = "rt:complete:"
ROW_PREFIX = "rt:r:"
INDEX_PREFIX = "rt:i:"
LOCK_PREFIX = "lock:rt:"
SEEN_PREFIX = "seen:rt:"


def complete(source: Source) -> str:
    """Name a source's mark: the epoch for which all its records are known to be in the table."""
    return f"{COMPLETE_PREFIX}{source}"


def floor(source: Source) -> str:
    """Name a source's floor, `<epoch> <revision>`: what is absent was not there at that revision."""
    return f"rt:floor:{source}"


def incarnation(source: Source) -> str:
    """Name a source's incarnation, `<epoch> <incarnation>`: writes of another are refused."""
    return f"rt:incarnation:{source}"


def seen(source: Source) -> str:
    """Name `<incarnation> <revision>`, the newest revision of a source that was ever written; it outlives epochs."""
    return f"{SEEN_PREFIX}{source}"


def tombstones(source: Source) -> str:
    """Name the sorted set of a source's tombstones: row by revision."""
    return f"rt:tombstones:{source}"


def row(key: str) -> str:
    """Name the row of a record."""
    return ROW_PREFIX + key


def index(name: str) -> str:
    """Name the hash of a derived index."""
    return INDEX_PREFIX + name


def lock(name: str) -> str:
    """Name a lock between gateways. Locks save work; nothing rests on them."""
    return LOCK_PREFIX + name


def gateways(run_id: str) -> str:
    """Name the hash of the gateways' records, one field a process (modelport_routing.fleet).

    Not under `rt:`: an acknowledgement must not be pushed as a change that asks for acknowledgements. Each run of a
    server has its own, so that an old dump brings back no record.
    """
    return f"gateways:{run_id}"


def source_of(key: str) -> Source:
    """Return which source owns a record's key. Raises KeyError for a kind this release does not know."""
    kind: str = key.partition("/")[0]
    return _SOURCE_OF_KIND[kind]


_SOURCE_OF_KIND: dict[str, Source] = {str(kind): source for kind, source in SOURCE_OF_KIND.items()}
MARKS: tuple[str, ...] = tuple(complete(source) for source in SOURCES)
"""The marks of all sources, in the order of SOURCES."""
